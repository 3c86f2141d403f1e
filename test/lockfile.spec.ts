import { describe, expect, it } from 'vitest';
import { type LockEntry, type LockFile, lockFindings } from './house-rules/lock-findings.ts';
import { readJson } from './house-rules/workspace.ts';

const lock = readJson<LockFile>('package-lock.json');

it('the lock installs elsewhere, and belongs to these manifests', () => {
  const folders = Object.keys(lock.packages).filter((at) => !at.includes('node_modules'));
  expect(folders).toEqual(expect.arrayContaining(['', 'libs/planner', 'apps/cli']));
  const manifests = folders.map((folder) => [
    folder,
    readJson<LockEntry>(`${folder ? `${folder}/` : ''}package.json`),
  ]);
  expect(lockFindings(lock, Object.fromEntries(manifests))).toEqual([]);
});

describe('a planted fault is found:', () => {
  const entry = { version: '1.0.0', integrity: 'sha512-x' };

  function findings(
    packages: Record<string, LockEntry>,
    manifests: Record<string, LockEntry> = {},
  ): string[] {
    return lockFindings({ lockfileVersion: 3, packages }, manifests);
  }

  it('an optional platform package that is absent', () => {
    const nx = { ...entry, optionalDependencies: { 'nx-darwin': '1.0.0' } };
    expect(findings({ 'node_modules/nx': nx })).toEqual([
      'node_modules/nx lacks its optional dependency nx-darwin',
    ]);
    expect(findings({ 'node_modules/nx': nx, 'node_modules/nx-darwin': entry })).toEqual([]);
    expect(findings({ 'node_modules/nx': nx, 'node_modules/nx/node_modules/nx-darwin': entry })).toEqual([]);
    expect(
      findings({ 'node_modules/a/node_modules/nx': nx, 'node_modules/a/node_modules/nx-darwin': entry }),
    ).toEqual([]);
    expect(findings({ 'node_modules/nx': nx, 'node_modules/b/node_modules/nx-darwin': entry })).toHaveLength(
      1,
    );
  });

  it('the address of a registry', () => {
    const resolved = 'https://registry.example/a.tgz';
    expect(findings({ 'node_modules/a': { ...entry, resolved } })).toEqual([
      'node_modules/a names the address of a registry',
    ]);
    expect(findings({ 'node_modules/a': { resolved: 'libs/a', link: true } })).toEqual([]);
  });

  it('a missing checksum', () => {
    expect(findings({ 'node_modules/a': { version: '1.0.0' } })).toEqual(['node_modules/a has no checksum']);
  });

  it('a manifest that has changed since', () => {
    const before = { dependencies: { a: '1.0.0' } };
    expect(findings({ '': before }, { '': before })).toEqual([]);
    expect(findings({ '': before }, { '': { dependencies: { a: '1.0.1' } } })).toEqual([
      'the top has other dependencies in package.json than in the lock',
    ]);
    expect(findings({ 'libs/a': before }, { 'libs/a': {} })).toEqual([
      'libs/a has other dependencies in package.json than in the lock',
    ]);
  });

  it('another version of the format', () => {
    expect(lockFindings({ lockfileVersion: 2, packages: {} }, {})).toEqual(['the lock has version 2, not 3']);
  });
});
