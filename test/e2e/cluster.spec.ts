import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { planTerms } from '@ultramem/coordinator';
import { sliceBytes } from '@ultramem/planner';
import { startCluster, type TestCluster } from '@ultramem/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const MODEL = fileURLToPath(new URL('../../apps/cli/demo-model', import.meta.url));
const LOOKUP_TIMEOUT_MS = 2_000;
const SLACK_MS = 5_000;

interface Recorded {
  greedy: { prompt: string; greedy_ids: number[] }[];
}
const recorded = JSON.parse(readFileSync(join(MODEL, 'io.json'), 'utf8')) as Recorded;
const [greedy] = recorded.greedy;
if (greedy === undefined) throw new Error('io.json records a greedy generation');

describe.each([
  { where: 'as processes', inProcess: false, partition: 'slots', keys: 'auto' },
  { where: 'as processes', inProcess: false, partition: 'columns', keys: 'coordinator' },
  { where: 'within one process', inProcess: true, partition: 'grid:2x1', keys: 'workers' },
])('a cluster $where, $partition, keys $keys', ({ inProcess, partition, keys }) => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster({
      model: MODEL,
      workers: 2,
      partition,
      keys,
      inProcess,
      lookupTimeoutMs: LOOKUP_TIMEOUT_MS,
    });
  }, 60_000);
  afterAll(() => cluster?.stop());

  const first = async (maxTokens: number) => {
    const { sequences } = await cluster.generate({ prompts: [greedy.prompt], maxTokens });
    return sequences[0]?.tokenIds;
  };

  it('gives the recorded tokens', async () => {
    expect(await first(greedy.greedy_ids.length)).toEqual(greedy.greedy_ids);
  });

  it('explains a lookup', async () => {
    const { token, heads, shards, partition: explained } = await cluster.explain({ text: greedy.prompt });
    expect(token.text).toBe('\n');
    expect(explained).toBe(partition);
    expect(heads.length).toBe(2);
    for (const { winners } of heads) expect(winners.length).toBe(16);
    expect(shards.length).toBe(2);
  });

  it('predicts better with its memory than without', async () => {
    const tokenIds = Uint32Array.from(readFileSync(join(MODEL, 'validation.txt')).subarray(0, 256));
    const ask = (withMemory: boolean) => cluster.evaluate({ tokenIds, contextLength: 128, withMemory });
    const [memory, none] = [await ask(true), await ask(false)];
    expect(memory.tokenCount).toBe(none.tokenCount);
    expect(memory.lossSum / memory.tokenCount).toBeLessThan(none.lossSum / none.tokenCount - 0.1);
  });

  it('reports ready workers that hold no more than was planned, and were read', async () => {
    const { cluster: facts, workers } = await cluster.status();
    expect(facts).toMatchObject({ state: 'ready', partition, keys, shardCount: 2 });
    expect(workers.map(({ workerId }) => workerId).sort()).toEqual(['worker-0', 'worker-1']);
    const checkpoint = await openCheckpoint(fileDirectory(MODEL), { parts: 'memory' });
    const { geometry, bytes } = planTerms(checkpoint, 'auto', 'auto');
    await checkpoint.close();
    for (const { state, shard, rows, columns, keys: keyRange, residentBytes, rowsRead } of workers) {
      expect(state).toBe('ready');
      if (shard === null || rows === null || columns === null) throw new Error('a ready worker has a slice');
      const preColumns = { start: 0, end: 0 };
      const slice = { shard, rows, columns, keys: keyRange, preColumns };
      const plannedBytes = sliceBytes(geometry, bytes, slice);
      expect(residentBytes).toBeLessThanOrEqual(plannedBytes);
      expect(residentBytes).toBeGreaterThan(0.8 * plannedBytes);
      expect(rowsRead).toBeGreaterThan(0);
    }
  });

  it('fails when a worker has died, and is right again after its restart', async () => {
    const [worker] = cluster.workers;
    const before = await first(8);
    await worker?.kill();
    expect(worker?.pid).toBeNull();
    const startMs = performance.now();
    await expect(first(8)).rejects.toMatchObject({ code: 'SHARD_UNAVAILABLE', retriable: true });
    expect(performance.now() - startMs).toBeLessThan(LOOKUP_TIMEOUT_MS + SLACK_MS);
    await worker?.restart();
    expect(await first(8)).toEqual(before);
    expect((await cluster.status()).cluster.state).toBe('ready');
  }, 60_000);

  it('replaces a worker that still runs', async () => {
    const { pid } = cluster.workers[1] ?? {};
    await cluster.workers[1]?.restart();
    if (!inProcess) expect(cluster.workers[1]?.pid).not.toBe(pid);
    expect(await first(8)).toEqual(greedy.greedy_ids.slice(0, 8));
  }, 60_000);

  it('serves several clients', async () => {
    const other = await cluster.connect();
    const { sequences } = await other.generate({ prompts: [greedy.prompt, 'A'], maxTokens: 4 });
    expect(sequences[0]?.tokenIds).toEqual(greedy.greedy_ids.slice(0, 4));
  });
});
