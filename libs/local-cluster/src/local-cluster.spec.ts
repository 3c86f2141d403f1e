import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { ProgramMessage } from './child-program.ts';
import { type LocalClusterOptions, startLocalCluster, startLocalWorker } from './local-cluster.ts';

const PROGRAM = fileURLToPath(new URL('../test/cluster-program.mjs', import.meta.url));

/** Options for the program in test/, which acts by its role: the letters say how. */
function options(
  coordinator: string,
  worker: string,
  changes: Partial<LocalClusterOptions> = {},
): LocalClusterOptions {
  return {
    program: { command: process.execPath, args: [PROGRAM, coordinator, worker] },
    model: 'm',
    workers: 2,
    port: 0,
    ...changes,
  };
}

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

describe('startLocalCluster', () => {
  it('starts the coordinator, then workers that know where it is', async () => {
    const messages: [string, ProgramMessage][] = [];
    const cluster = await startLocalCluster(
      options('serve', 'serve', {
        partition: 'columns',
        keys: 'workers',
        backends: ['reference', 'native'],
        threads: 1,
        host: '127.0.0.1',
        tokenFile: 'token',
        lookupTimeoutMs: 1_500,
        memoryBytes: [7, 8],
        onMessage: (name, message) => messages.push([name, message]),
      }),
    );
    const said = async (i: number) => (await cluster.workers[i]?.message('plan'))?.text;
    expect(cluster.url).toBe('ws://there:1');
    expect((await cluster.coordinator.message('plan')).text).toBe(
      'coordinator --model m --workers 2 --port 0 --host 127.0.0.1 --partition columns --keys workers --backend reference --token-file token --lookup-timeout 1.5',
    );
    expect([await said(0), await said(1)]).toEqual([
      'worker --coordinator ws://there:1 --model m --id worker-0 --backend reference --threads 1 --token-file token --memory 7',
      'worker --coordinator ws://there:1 --model m --id worker-1 --backend native --threads 1 --token-file token --memory 8',
    ]);
    expect(new Set(messages.map(([name]) => name))).toEqual(new Set(['coordinator', 'worker-0', 'worker-1']));
    const pids = [cluster.coordinator, ...cluster.workers].map(({ pid }) => pid);
    expect(pids.every(alive)).toBe(true);
    await cluster.stop();
    expect(pids.some(alive)).toBe(false);
  });

  it('leaves out what is not asked for', async () => {
    const cluster = await startLocalCluster(options('serve', 'serve', { workers: 1, tokenFile: null }));
    expect((await cluster.coordinator.message('plan')).text).toBe(
      'coordinator --model m --workers 1 --port 0',
    );
    expect((await cluster.workers[0]?.message('plan'))?.text).toBe(
      'worker --coordinator ws://there:1 --model m --id worker-0',
    );
    await cluster.stop();
  });

  it.each([
    ['coordinator', 'fail', 'serve'],
    ['coordinator, once it listens', 'listen-fail', 'serve'],
    ['worker', 'listen', 'fail'],
  ])('fails with what a %s said that gave up, and stops the others', async (_, coordinator, worker) => {
    const pids: number[] = [];
    const onMessage = (__: string, message: ProgramMessage) => {
      if (message.kind === 'progress') pids.push(message.loadedBytes);
    };
    await expect(startLocalCluster(options(coordinator, worker, { onMessage }))).rejects.toMatchObject({
      code: 'PLAN_IMPOSSIBLE',
      message: 'no; expected yes; go',
    });
    expect(pids.some(alive)).toBe(false);
  });

  it('starts a worker anew in the place of one that has ended', async () => {
    const cluster = await startLocalCluster(options('serve', 'serve'));
    const before = cluster.workers.map(({ pid }) => pid);
    cluster.workers[1]?.signal('SIGKILL');
    await cluster.workers[1]?.exited;
    await cluster.restartWorker(1);
    const after = cluster.workers.map(({ pid }) => pid);
    expect(after[0]).toBe(before[0]);
    expect(after[1]).not.toBe(before[1]);
    expect((await cluster.workers[1]?.message('plan'))?.text).toContain('--id worker-1');
    await cluster.stop();
    expect(after.some(alive)).toBe(false);
  });
});

it('startLocalWorker starts one for a coordinator elsewhere', async () => {
  const worker = startLocalWorker({ program: options('', 'serve').program, model: 'm' }, 'ws://x:1', 4);
  expect((await worker.message('plan')).text).toBe('worker --coordinator ws://x:1 --model m --id worker-4');
  await worker.stop();
});
