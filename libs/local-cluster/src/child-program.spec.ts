import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { type ChildProgram, type ProgramMessage, startChild } from './child-program.ts';

const PROGRAM = {
  command: process.execPath,
  args: [fileURLToPath(new URL('../test/program.mjs', import.meta.url))],
};
const children: ChildProgram[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.signal('SIGKILL');
});

function start(script: string, onMessage?: (message: ProgramMessage) => void): ChildProgram {
  const child = startChild(PROGRAM, 'thing', [script], onMessage);
  children.push(child);
  return child;
}

describe('messages', () => {
  it('are there for whoever asks, also when they came before', async () => {
    const seen: ProgramMessage[] = [];
    const child = start('url,ready,end', (message) => seen.push(message));
    expect(await child.message('listening')).toEqual({ kind: 'listening', url: 'ws://there:1' });
    await child.exited;
    expect(await child.message('ready')).toEqual({ kind: 'ready', shard: 3 });
    expect(await child.message('listening')).toMatchObject({ url: 'ws://there:1' });
    expect(seen.map(({ kind }) => kind)).toEqual(['listening', 'ready']);
    expect(await child.exited).toEqual({ code: 0, signal: null, error: null });
  });

  it('may be awaited by several at once', async () => {
    const child = start('live,ready');
    const both = await Promise.all([child.message('ready'), child.message('ready')]);
    expect(both.map(({ shard }) => shard)).toEqual([3, 3]);
  });
});

describe('a program that ends before it is ready', () => {
  it('fails with its own error line, the last one, among other lines', async () => {
    const child = start('log,warn,error,fail');
    await expect(child.message('ready')).rejects.toMatchObject({
      code: 'CHECKPOINT_NOT_FOUND',
      message: 'no model; expected one; give it',
    });
    expect(await child.exited).toMatchObject({ code: 1, error: { code: 'CHECKPOINT_NOT_FOUND' } });
  });

  it.each([
    { script: 'end', how: 'with exit code 0', last: '' },
    { script: 'log,fail', how: 'with exit code 1', last: ' (2026-01-01T00:00:00.000Z listening url=x)' },
    { script: 'crash', how: 'by SIGKILL', last: '' },
  ])('without one is described: $how', async ({ script, how, last }) => {
    await expect(start(script).message('ready')).rejects.toMatchObject({
      code: 'PROCESS_ENDED',
      message: `thing ended ${how} before it was ready${last}; expected it to run; look at its output`,
    });
  });

  it('because it cannot be started', async () => {
    const child = startChild({ command: '/no/such/program', args: [] }, 'thing', []);
    await expect(child.message('ready')).rejects.toMatchObject({
      code: 'SPAWN_FAILED',
      message: expect.stringMatching(
        /^thing cannot be started \(.*ENOENT.*\); expected .*; run npm run build$/,
      ),
    });
    expect(await child.exited).toMatchObject({ error: { code: 'SPAWN_FAILED' } });
    await child.stop();
  });
});

describe('stop', () => {
  it('lets a program end in its own way', async () => {
    const child = start('live,ready');
    await child.message('ready');
    await child.stop();
    expect(await child.exited).toMatchObject({ signal: 'SIGTERM' });
    await child.stop();
  });

  it('kills one that does not listen, after its grace', async () => {
    const child = start('stubborn,live,ready');
    await child.message('ready');
    await child.stop(50);
    expect(await child.exited).toMatchObject({ code: null, signal: 'SIGKILL' });
  });

  it('wakes one that is frozen, so that it can end', async () => {
    const child = start('live,ready');
    await child.message('ready');
    child.signal('SIGSTOP');
    await child.stop();
    expect(await child.exited).toMatchObject({ signal: 'SIGTERM' });
  });
});
