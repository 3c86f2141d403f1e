import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it, onTestFinished } from 'vitest';
import { PROGRAM } from './run-ultramem.ts';

it.skipIf(process.platform === 'win32')(
  'the file runs by itself, through the link that npm makes',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ultramem-shell-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const link = join(folder, 'ultramem');
    symlinkSync(PROGRAM, link);
    const child = spawn(link, ['plan', '--nonsense', 'a b'], { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    expect(await text(child.stderr)).toMatch(/^error USAGE: [^\n]+\n$/);
    expect(await ended).toBe(2);
  },
);

it('a reader that has seen enough ends the program, without a word', async () => {
  const child = spawn(process.execPath, [PROGRAM, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy(); // before anything is written
  const ended = new Promise((resolve) => child.once('exit', resolve));
  expect(await text(child.stderr)).toBe('');
  expect(await ended).toBe(0);
});
