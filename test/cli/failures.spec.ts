import { copyFileSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { DEMO_MODEL, failureLine, runUltramem, temporaryDirectory } from './run-ultramem.ts';

const directory = temporaryDirectory();
const truncated = join(directory, 'truncated');
const empty = join(directory, 'empty');

beforeAll(() => {
  mkdirSync(empty);
  mkdirSync(truncated);
  for (const file of ['config.json', 'model.safetensors'])
    copyFileSync(join(DEMO_MODEL, file), join(truncated, file));
  truncateSync(join(truncated, 'model.safetensors'), 1_000_000);
  writeFileSync(join(directory, 'no-json'), '{');
});

describe('wrong usage ends with 2', () => {
  it.each<[args: string[], text: string]>([
    [['inspect', '--model', DEMO_MODEL, '--colour'], 'unknown option'],
    [['inspect'], "required option '--model <dir>'"],
    [['inspect', '--model', DEMO_MODEL, 'more'], 'too many arguments'],
    [['plan', '--model', DEMO_MODEL, '--workers', 'two'], '--workers is "two"'],
    [['plan', '--model', DEMO_MODEL, '--workers', '2', '--memory', 'much'], 'the size is "much"'],
    [['plan', '--model', DEMO_MODEL, '--workers', '2', '--partition', 'rows'], 'the partition is "rows"'],
    [['synth'], "required option '--out <dir>'"],
    [['synth', '--out', join(directory, 'x'), '--seed', '-1'], '--seed is "-1"'],
    [['synth', '--out', join(directory, 'x'), '--dtype', 'f64'], '--dtype is "f64"'],
    [['synth', '--out', join(directory, 'x'), '--like', DEMO_MODEL, '--family', 'v1'], 'cannot be used with'],
    [
      ['synth', '--out', join(directory, 'x'), '--config', join(directory, 'nowhere')],
      'cannot be read (ENOENT)',
    ],
    [['doctor', '--nonsense'], 'unknown option'],
  ])('%j', async (args, text) => {
    const { exitCode, stdout, stderr } = await runUltramem(...args);
    expect(stderr).toMatch(failureLine('USAGE', text));
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  });
});

describe('everything else that fails ends with 1', () => {
  const plan = (...args: string[]): string[] => ['plan', '--model', DEMO_MODEL, ...args];
  it.each<[args: string[], code: string, text: string]>([
    [['inspect', '--model', join(directory, 'nowhere')], 'CHECKPOINT_NOT_FOUND', 'nowhere does not exist'],
    [['inspect', '--model', empty], 'CHECKPOINT_NOT_FOUND', 'config.json'],
    [['inspect', '--model', truncated], 'CHECKPOINT_INVALID', 'ends at byte'],
    [['plan', '--model', truncated, '--workers', '2'], 'CHECKPOINT_INVALID', 'ends at byte'],
    [plan('--workers', '2', '--memory', '10KiB'), 'PLAN_IMPOSSIBLE', 'needs 2 MiB on each of 2 workers'],
    [
      plan('--workers', '4', '--partition', 'grid:3x2'),
      'PLAN_IMPOSSIBLE',
      'grid:3x2 needs 6 workers, there are 4',
    ],
    [
      plan('--workers', '65', '--partition', 'columns'),
      'PLAN_IMPOSSIBLE',
      'more workers (65) than columns (64)',
    ],
    [
      plan('--workers', '2', '--coordinator-memory', '1KiB'),
      'PLAN_IMPOSSIBLE',
      'on the coordinator, which may use 1 KiB',
    ],
    [['synth', '--out', empty, '--like', empty], 'CHECKPOINT_NOT_FOUND', 'has no config.json'],
    [['synth', '--out', DEMO_MODEL], 'TARGET_EXISTS', 'already holds'],
    [
      ['synth', '--out', join(directory, 'x'), '--config', join(directory, 'no-json')],
      'CONFIG_INVALID',
      'is not JSON',
    ],
    [
      ['synth', '--out', join(directory, 'x'), '--slots', '4G', '--value-width', '1000000'],
      'DISK_FULL',
      'more bytes',
    ],
  ])('%j', async (args, code, text) => {
    const { exitCode, stdout, stderr } = await runUltramem(...args);
    expect(stderr).toMatch(failureLine(code, text));
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
  });
});

it.each(['inspect', 'plan', 'synth', 'doctor'])('%s --help has an example and ends with 0', async (verb) => {
  const { exitCode, stdout, stderr } = await runUltramem(verb, '--help');
  expect(stdout).toContain(`Example:\n  ultramem ${verb}`);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
});
