import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { tellParent } from './program-channel.ts';

const PROGRAM = fileURLToPath(new URL('../test/stopping.ts', import.meta.url));
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** The program in test/, once it is ready. */
async function start(how: string) {
  const child = spawn(process.execPath, ['--import', 'tsx', '--conditions=@ultramem/source', PROGRAM, how], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  children.push(child);
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const message = () => new Promise((resolve) => child.once('message', resolve));
  const ended = new Promise<{ code: number | null; stderr: string }>((resolve) =>
    child.once('close', (code) => resolve({ code, stderr })),
  );
  expect(await message()).toEqual({ kind: 'ready' });
  return { child, message, ended };
}

describe('a program', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('stops at %s and succeeds', async (signal) => {
    const { child, message, ended } = await start('at once');
    child.kill(signal);
    expect(await message()).toEqual({ kind: 'stopping', signal });
    expect(await ended).toEqual({ code: 0, stderr: '' });
  });

  it('ends at once at the second signal', async () => {
    const { child, message, ended } = await start('never');
    child.kill('SIGTERM');
    await message();
    child.kill('SIGINT');
    expect(await ended).toEqual({ code: 130, stderr: '' });
  });

  it('that cannot stop in order says why and fails', async () => {
    const { child, ended } = await start('failing');
    child.kill('SIGTERM');
    expect(await ended).toEqual({ code: 1, stderr: 'error DISK_FULL: no space; expected some; make some\n' });
  });

  it('ends with the process that started it', async () => {
    const { child } = await start('never');
    const exited = new Promise((resolve) => child.once('exit', resolve)); // a cut channel means that `close` never comes
    child.disconnect();
    expect(await exited).toBe(0);
  });

  it('without a parent tells nobody', () => {
    const { connected } = process;
    Object.defineProperty(process, 'connected', { value: false, configurable: true, writable: true });
    expect(() => tellParent({ kind: 'ready' })).not.toThrow();
    Object.defineProperty(process, 'connected', { value: connected, configurable: true, writable: true });
  });
});
