import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';

const MODEL = fileURLToPath(new URL('../../../apps/cli/demo-model', import.meta.url));
const FIXTURE = fileURLToPath(new URL('../fixtures/freeze-a-worker.ts', import.meta.url));

let test: ChildProcess | null = null;
afterEach(() => void test?.kill('SIGKILL'));

/** Starts the fixture as a test run would, and resolves with the process ids of its cluster. */
async function clusterOfDyingTest(): Promise<number[]> {
  const args = ['--conditions=@ultramem/source', '--import', 'tsx', FIXTURE, MODEL];
  test = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(test.stdout?.setEncoding('utf8') ?? test, 'data')) as [string];
  return JSON.parse(line) as number[];
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function survivors(pids: readonly number[], withinMs: number): Promise<number[]> {
  const endMs = performance.now() + withinMs;
  for (;;) {
    const living = pids.filter(lives);
    if (living.length === 0 || performance.now() > endMs) return living;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

it.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
  'nothing survives a test that ends by %s, not even a frozen worker',
  async (signal) => {
    const pids = await clusterOfDyingTest();
    expect(pids.filter(lives)).toHaveLength(3);
    test?.kill(signal);
    expect(await survivors(pids, 20_000)).toEqual([]);
  },
  60_000,
);
