import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startCluster } from '@ultramem/testing';

const model = join(dirname(createRequire(import.meta.url).resolve('ultramem/package.json')), 'demo-model');
const [{ prompt, greedy_ids: expected }] = JSON.parse(readFileSync(join(model, 'io.json'), 'utf8')).greedy;

for (const inProcess of [false, true]) {
  describe(inProcess ? 'a cluster within this process' : 'a cluster of processes', () => {
    let cluster;
    before(async () => {
      cluster = await startCluster({ model, workers: 2, partition: 'slots', inProcess });
    });
    after(() => cluster?.stop());

    it('gives the recorded tokens', async () => {
      const { sequences } = await cluster.generate({ prompts: [prompt], maxTokens: expected.length });
      assert.deepEqual(sequences[0].tokenIds, expected);
    });

    it('survives the loss of a worker', async () => {
      const lost = { code: 'SHARD_UNAVAILABLE', retriable: true };
      await cluster.workers[1].kill();
      await assert.rejects(cluster.generate({ prompts: [prompt], maxTokens: 2 }), lost);
      await cluster.workers[1].restart();
      const { sequences } = await cluster.generate({ prompts: [prompt], maxTokens: 2 });
      assert.deepEqual(sequences[0].tokenIds, expected.slice(0, 2));
    });
  });
}
