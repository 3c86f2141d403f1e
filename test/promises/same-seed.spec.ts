// Nothing below the adapters touches the world: two runs of a whole cluster with the same inputs are the same run.
import { syntheticCheckpoint } from '@ultramem/checkpoint/synthetic';
import { ManualClock } from '@ultramem/environment';
import { generate, parseSampling } from '@ultramem/inference';
import { expect, it } from 'vitest';
import { startMemoryCluster } from './memory-cluster.ts';

const MODEL = {
  d_model: 16,
  n_heads: 2,
  n_layers: 3,
  mlp_hidden_size: 16,
  vocab_size: 64,
  embedding_size: 64,
  rope: true,
  include_bias: false,
  layer_norm_type: 'rms',
  max_sequence_length: 64,
  mem_kdim: 6,
  mem_type: 'ultramem_v1',
  mem_insert_way: '0:1/2:2',
  mem_knum: 8,
  mem_vdim: 8,
  mem_head: 2,
  mem_knn: 4,
};

/** A cluster that decodes, loses a worker in between, fails, gets it back and goes on; every event with its time. */
async function run(): Promise<{ log: string[]; tokens: number[] }> {
  const clock = new ManualClock();
  const log: string[] = [];
  const note = (source: string, event: object): void => {
    log.push(`${clock.nowMs()} ${source} ${JSON.stringify(event)}`);
  };
  const checkpoint = await syntheticCheckpoint(MODEL, { seed: 5, dtype: 'F32' });
  const cluster = await startMemoryCluster(checkpoint, {
    partition: 'slots',
    keys: 'workers',
    capacities: [1e6, 1e6, 2e6],
    clock,
    onEvent: note,
  });
  const model = cluster.coordinator.model;
  if (model === null) throw new Error('the cluster serves its model');
  const tokens: number[] = [];
  const decode = async (): Promise<void> => {
    const options = {
      prompts: [[1, 2, 3]],
      maxNewTokens: 5,
      sampling: parseSampling({ temperature: 1 }),
      seed: 9,
      stopAtEos: false,
    };
    for await (const { tokenId } of generate(model, options)) tokens.push(tokenId);
  };
  await decode();
  await cluster.workers[1]?.leave('leaves in the middle');
  await clock.advance(3_000);
  await decode().catch((error: { code: string; message: string }) =>
    note('decode', { code: error.code, message: error.message }),
  );
  cluster.startWorker(1);
  await clock.advance(3_000);
  await decode();
  note('status', await cluster.coordinator.status());
  await cluster.stop();
  return { log, tokens };
}

it('runs a whole cluster twice alike, event for event and token for token', async () => {
  const first = await run();
  expect(first.tokens).toHaveLength(10);
  expect(first.tokens.slice(5)).toEqual(first.tokens.slice(0, 5));
  expect(first.log.some((line) => line.includes('SHARD_UNAVAILABLE'))).toBe(true);
  expect(await run()).toEqual(first);
});
