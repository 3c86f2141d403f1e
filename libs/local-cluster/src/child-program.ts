import { type ChildProcess, spawn } from 'node:child_process';
import { OperatingError } from '@ultramem/invariant';

/** What a program of this project tells the process that started it, over Node's message channel. */
export type ProgramMessage =
  | { kind: 'listening'; url: string }
  | { kind: 'ready'; shard?: number }
  | { kind: 'progress'; loadedBytes: number }
  | { kind: 'plan'; text: string };

export interface ChildProgram {
  readonly name: string;
  readonly pid: number;
  /** The first message of a kind, also when it came before the call. Rejects with the program's own error when it ends first. */
  message<K extends ProgramMessage['kind']>(kind: K): Promise<Extract<ProgramMessage, { kind: K }>>;
  /** Resolves when the process is gone. */
  readonly exited: Promise<{
    code: number | null;
    signal: NodeJS.Signals | null;
    error: OperatingError | null;
  }>;
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, then SIGKILL after `graceMs`; resolves when it is gone. */
  stop(graceMs?: number): Promise<void>;
}

/** How to start the command line of this project. */
export interface Program {
  command: string;
  args: readonly string[];
}

/**
 * A script run by the Node that runs this, with the flag that `bin/ultramem.js` gives itself (and says why).
 *
 * @param nodeFlags before it
 */
export function nodeProgram(script: string, nodeFlags: readonly string[] = []): Program {
  return { command: process.execPath, args: [...nodeFlags, '--initial-old-space-size=256', script] };
}

const STDERR_KEPT = 64 * 1024;
const GRACE_MS = 3_000;

/**
 * Starts one program as a child that cannot outlive this process: its message channel closes when we end, however we end, and it then
 * stops. A stopped (SIGSTOP) child is continued first where we still can.
 */
export function startChild(
  program: Program,
  name: string,
  args: readonly string[],
  onMessage: (message: ProgramMessage) => void = () => {},
): ChildProgram {
  const child = spawn(program.command, [...program.args, ...args], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: process.env,
  });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_KEPT);
  });
  const messages: ProgramMessage[] = [];
  const waiting = new Set<() => void>();
  child.on('message', (message: ProgramMessage) => {
    messages.push(message);
    onMessage(message);
    for (const look of [...waiting]) look();
  });
  const exited: ChildProgram['exited'] = new Promise((resolve) => {
    child.on('error', (error) =>
      resolve({
        code: null,
        signal: null,
        error: new OperatingError(
          'SPAWN_FAILED',
          `${name} cannot be started (${error.message}); expected Node.js and a built project; run npm run build`,
        ),
      }),
    );
    child.on('close', (code, signal) => resolve({ code, signal, error: errorOf(stderr) }));
  });
  const message = <K extends ProgramMessage['kind']>(
    kind: K,
  ): Promise<Extract<ProgramMessage, { kind: K }>> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = messages.find((candidate) => candidate.kind === kind);
        if (found === undefined) return;
        waiting.delete(look);
        resolve(found as Extract<ProgramMessage, { kind: K }>);
      };
      waiting.add(look);
      look();
      void exited.then(({ code, signal, error }) => reject(error ?? ended(name, code, signal, stderr)));
    });
  return {
    name,
    pid: child.pid ?? -1,
    message,
    exited,
    signal: (signal) => void child.kill(signal),
    stop: (graceMs = GRACE_MS) => stop(child, exited, graceMs),
  };
}

async function stop(child: ChildProcess, exited: Promise<unknown>, graceMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  child.kill('SIGCONT'); // a frozen process takes no SIGTERM
  const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await exited;
  clearTimeout(timer);
}

/** The program's own last word, `error CODE: message`. */
function errorOf(stderr: string): OperatingError | null {
  const match = [...stderr.matchAll(/^error ([A-Z_]+): (.*)$/gm)].at(-1);
  return match === undefined ? null : new OperatingError(match[1], match[2]);
}

function ended(name: string, code: number | null, signal: string | null, stderr: string): OperatingError {
  const last = stderr.trim().split('\n').at(-1) ?? '';
  const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
  return new OperatingError(
    'PROCESS_ENDED',
    `${name} ended ${how} before it was ready${last && ` (${last.slice(0, 300)})`}; expected it to run; look at its output`,
  );
}
