import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { OperatingError } from '@ultramem/invariant';

/**
 * Ends what it was told to end (`+PID`, not taken back by `-PID`) when its input ends. A stopped process cannot notice that its parent is
 * gone; this one can, because it runs. JavaScript as text: it must start in any Node, whatever this file was compiled to.
 */
const REAPER = `
const pids = new Set();
let rest = '';
process.stdin.setEncoding('utf8').on('data', (text) => {
  const lines = (rest + text).split('\\n');
  rest = lines.pop();
  for (const line of lines) line[0] === '+' ? pids.add(Number(line)) : pids.delete(-Number(line));
}).on('close', () => {
  for (const pid of pids) try { process.kill(pid, 'SIGKILL'); } catch (error) { if (error.code !== 'ESRCH') throw error; }
});
`;

type Reaper = ChildProcessByStdio<Writable, null, null>;

let reaper: Reaper | null = null;
const frozen = new Set<number>();

/** Call before SIGSTOP: from when this resolves, the process `pid` ends with this one even while it is stopped. */
export async function rememberFrozen(pid: number): Promise<void> {
  reaper ??= startReaper();
  frozen.add(pid);
  await tell(reaper, `+${pid}`);
}

/** Call after SIGCONT, and when the process has ended: its number may be given to another one. */
export function forgetFrozen(pid: number): void {
  if (reaper !== null && frozen.delete(pid)) void tell(reaper, `-${pid}`);
}

/** In a session of its own, so that what ends the test (Ctrl-C on a terminal) does not end it first. Keeps no event loop alive. */
function startReaper(): Reaper {
  const child = spawn(process.execPath, ['-e', REAPER], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.unref();
  if (child.stdin instanceof Socket) child.stdin.unref();
  return child;
}

/** Resolves when the line is in the pipe: from there it is read even when this process has gone. */
function tell(child: Reaper, line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdin.write(`${line}\n`, (error) => {
      if (error)
        reject(
          new OperatingError(
            'CONNECTION_LOST',
            `the process that ends frozen workers is gone (${error.message}); expected it to live as long as this one; end the workers by hand`,
            { cause: error },
          ),
        );
      else resolve();
    });
  });
}
