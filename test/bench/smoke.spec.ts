import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { probeTensorflow } from '@ultramem/kernels-tensorflow';
import { expect, it } from 'vitest';
import type { Row } from './row.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const probe = await probeTensorflow();
const FROM_SOURCE = ['--conditions=@ultramem/source', '--import', 'tsx', MAIN];

function bench(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)(process.execPath, [...FROM_SOURCE, ...args]);
}

it('measures without peers, one row a line', async () => {
  const { stdout } = await bench(
    'select',
    'growth',
    '--quick',
    '--no-peers',
    '--json',
    '--backend',
    'reference',
  );
  const rows = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);
  expect(rows.filter((row) => row.case === 'select').map(({ batch }) => batch)).toEqual([1, 4]);
  expect(rows.filter((row) => row.case === 'growth')).toHaveLength(4);
  expect(rows.every((row) => row.oursMs !== null && row.oursMs > 0)).toBe(true);
  expect(rows.every((row) => row.met === null)).toBe(true);
});

it.skipIf(!probe.available)(
  `measures beside TensorFlow's own operations${probe.available ? '' : ` (skipped: ${probe.remedy})`}`,
  async () => {
    const { stdout } = await bench('tensorflow', '--quick', '--json', '--backend', 'reference');
    const rows = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Row);
    expect(rows.map(({ what, batch }) => `${what}, ${batch}`)).toEqual([
      ...['gather and weigh, 1', 'gather and weigh, 1', 'gather and weigh, 4', 'gather and weigh, 4'],
      ...['score and top-k, 1', 'score and top-k, 4'],
    ]);
    expect(rows.every(({ ratio }) => ratio !== null && ratio > 0)).toBe(true);
  },
);

it('ends with 2 and one line on wrong usage', async () => {
  await expect(bench('gather')).rejects.toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringMatching(/^error USAGE: there is no case "gather"; expected any of .*\n$/),
  });
});
