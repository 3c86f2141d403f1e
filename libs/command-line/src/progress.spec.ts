import { afterEach, describe, expect, it } from 'vitest';
import { captured } from '../test/captured.ts';
import { startProgress } from './progress.ts';

const isTTY = process.stderr.isTTY;
afterEach(() => {
  process.stderr.isTTY = isTTY;
});

/** What a whole progress writes to a terminal, or to a pipe. */
async function written(toTerminal: boolean) {
  process.stderr.isTTY = toTerminal;
  return captured(() => {
    const progress = startProgress('loading', 4, (value) => `${value} B`);
    progress.update(1);
    progress.update(9);
    progress.stop();
  });
}

describe('startProgress', () => {
  it('writes nothing to a pipe', async () => {
    expect(await written(false)).toEqual({ stdout: '', stderr: '' });
  });

  it('draws a bar on a terminal, on stderr', async () => {
    const { stdout, stderr } = await written(true);
    expect(stdout).toBe('');
    expect(stderr).toContain('loading');
  });
});
