import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { type Client, connectClient } from '@ultramem/client';
import { systemClock } from '@ultramem/environment-system';
import { type ChildProgram, type Program, startChild } from '@ultramem/local-cluster';
import { createWsTransport } from '@ultramem/transport-ws';
import { expect } from 'vitest';

/** The built command line, as users start it. */
export const PROGRAM: Program = {
  command: process.execPath,
  args: [fileURLToPath(new URL('../../apps/cli/bin/ultramem.js', import.meta.url))],
};
export const MODEL = fileURLToPath(new URL('../../apps/cli/demo-model', import.meta.url));

const recorded = JSON.parse(readFileSync(`${MODEL}/io.json`, 'utf8')) as {
  greedy: { prompt: string; greedy_ids: number[] }[];
};
const TOKENS = 4;
const POLL_MS = 20;

export function startCoordinator(args: readonly string[] = [], program = PROGRAM): ChildProgram {
  const flags = ['--model', MODEL, '--workers', '1', '--port', '0', ...args];
  return startChild(program, 'coordinator', ['coordinator', ...flags]);
}

export function startWorker(url: string, args: readonly string[] = []): ChildProgram {
  return startChild(PROGRAM, 'worker', ['worker', '--model', MODEL, '--coordinator', url, ...args]);
}

export function connect(url: string, token: string | null = null): Promise<Client> {
  const transport = createWsTransport();
  return connectClient({
    transport,
    clock: systemClock,
    url,
    token,
    software: 'test',
    connectTimeoutMs: 5000,
  });
}

/** A newcomer gets the recorded tokens, and the state of the cluster. */
export async function expectRightAnswers(url: string): Promise<void> {
  const [greedy] = recorded.greedy;
  const client = await connect(url);
  const { sequences } = await client.generate({ prompts: [greedy!.prompt], maxTokens: TOKENS });
  expect(sequences[0]!.tokenIds).toEqual(greedy!.greedy_ids.slice(0, TOKENS));
  expect((await client.status()).cluster.state).toBe('ready');
  client.close();
}

/** Peak of the memory that a process has held so far; 0 where the system does not say. */
export function peakBytes({ pid }: ChildProgram): number {
  if (process.platform !== 'linux') return 0;
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1]);
}

/** Waits for `condition`, at most `withinMs`. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  withinMs = 10_000,
): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

export interface Outcome {
  code: number | null;
  stdout: string;
  /** Lines of stderr that begin with `error `. */
  errors: string[];
  elapsedMs: number;
}

/** Runs the command line to its end, and then demands that no process which it started is left. */
export async function runToEnd(args: readonly string[], withinMs = 20_000): Promise<Outcome> {
  const startMs = performance.now();
  const child = spawn(PROGRAM.command, [...PROGRAM.args, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a process group of its own, which its children share
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const timer = setTimeout(() => killGroup(child.pid), withinMs);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearTimeout(timer);
  await until(() => !groupLives(child.pid), 'the processes it started have ended', 2000);
  return {
    code,
    stdout,
    errors: stderr.split('\n').filter((line) => line.startsWith('error ')),
    elapsedMs: performance.now() - startMs,
  };
}

function killGroup(pid: number | undefined): void {
  if (pid !== undefined && groupLives(pid)) process.kill(-pid, 'SIGKILL');
}

function groupLives(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    return process.kill(-pid, 0);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}
