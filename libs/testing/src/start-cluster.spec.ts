import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { startCluster } from './start-cluster.ts';

const MODEL = fileURLToPath(new URL('../../../apps/cli/demo-model', import.meta.url));

describe('options that make no sense are refused before anything starts:', () => {
  it.each([
    [{ workers: 0 }, 'workers is 0; expected a whole number of at least 1; correct it'],
    [{ workers: 1.5 }, 'workers is 1.5; expected a whole number of at least 1; correct it'],
    [{ memoryBytes: [1] }, 'memoryBytes has 1 numbers for 2 workers; expected one for each; correct it'],
    [
      { token: '' },
      'the token is empty, has several lines or has blanks at an end; expected what fits the first line of a file; choose another',
    ],
    [
      { token: 'a\nb' },
      'the token is empty, has several lines or has blanks at an end; expected what fits the first line of a file; choose another',
    ],
  ])('%o', async (options, message) => {
    await expect(startCluster({ model: MODEL, ...options })).rejects.toMatchObject({
      code: 'USAGE',
      message,
    });
  });
});

describe('processes', () => {
  it('are gone after stop, which may be called again, and so is the token', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'start-cluster-'));
    vi.stubEnv('TMPDIR', folder);
    const cluster = await startCluster({ model: MODEL, workers: 1, token: 'a b' });
    vi.unstubAllEnvs();
    expect(readdirSync(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
    const pids = [cluster.coordinatorPid, cluster.workers[0]?.pid].map(Number);
    expect(await cluster.client.tokenize('AB')).toEqual([65, 66]);
    await Promise.all([cluster.stop(), cluster.stop()]);
    await cluster.stop();
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    expect(cluster.workers[0]?.pid).toBeNull();
  }, 60_000);

  it('stop quickly even when one is frozen', async () => {
    const cluster = await startCluster({ model: MODEL, workers: 2 });
    await cluster.workers[1]?.pause();
    const startMs = performance.now();
    await cluster.stop();
    expect(performance.now() - startMs).toBeLessThan(10_000);
    expect(cluster.workers.map(({ pid }) => pid)).toEqual([null, null]);
  }, 60_000);

  it('that have ended can be neither paused nor resumed, but restarted', async () => {
    await using cluster = await startCluster({ model: MODEL, workers: 1 });
    const [worker] = cluster.workers;
    await worker?.kill();
    const message = 'worker-0 has ended; expected it to run; restart it first';
    await expect(worker?.pause()).rejects.toMatchObject({ code: 'USAGE', message });
    await expect(worker?.resume()).rejects.toMatchObject({ code: 'USAGE', message });
    await worker?.restart();
    expect((await cluster.status()).cluster.state).toBe('ready');
  }, 60_000);

  it('come from a program that must exist', async () => {
    const program = { command: '/no/such/program', args: [] };
    await expect(startCluster({ model: MODEL, program })).rejects.toMatchObject({ code: 'SPAWN_FAILED' });
  });
});

describe('within one process', () => {
  it('clusters do not meet, and each ends by itself', async () => {
    await using one = await startCluster({ model: MODEL, workers: 1, inProcess: true });
    const two = await startCluster({ model: MODEL, workers: 3, inProcess: true });
    expect((await one.status()).workers).toHaveLength(1);
    expect((await two.status()).workers).toHaveLength(3);
    await two.stop();
    await two.stop();
    expect(await two.client.closed).not.toBe('');
    expect((await one.status()).cluster.state).toBe('ready');
  });

  it('no worker can be paused', async () => {
    await using cluster = await startCluster({ model: MODEL, workers: 1, inProcess: true });
    const [worker] = cluster.workers;
    expect(worker?.pid).toBeNull();
    const message = (what: string) =>
      `worker-0 runs within the process of the test and cannot be ${what} alone; expected a worker process; leave inProcess out`;
    await expect(worker?.pause()).rejects.toMatchObject({ code: 'USAGE', message: message('paused') });
    await expect(worker?.resume()).rejects.toMatchObject({ code: 'USAGE', message: message('resumed') });
  });

  it('an unknown backend is refused by name', async () => {
    await expect(startCluster({ model: MODEL, backend: 'abacus', inProcess: true })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/^--backend is "abacus"; expected auto or native/),
    });
  });
});
