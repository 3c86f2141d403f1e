import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { syntheticCheckpoint, V1_MODEL } from '@ultramem/checkpoint/synthetic';
import { createRandom } from '@ultramem/environment';
import { createWsTransport } from '@ultramem/transport-ws';
import { SIDES } from '@ultramem/ultramem';
import { expect, it } from 'vitest';
import { startMemoryCluster } from './memory-cluster.ts';

const LOOKUPS = 200;
/** By a lookup of two workers, theirs included. Sets leave 800 to 1,800; with the objects that CONTRIBUTING warns of it was 7,700. */
const KEPT_BYTES_MAX = 4_000;

setFlagsFromString('--expose-gc');
const collectYoung: () => void = runInNewContext('() => gc({ type: "minor" })');

it('leaves hardly anything of a lookup behind that short collections keep', async () => {
  const checkpoint = await syntheticCheckpoint(V1_MODEL, { seed: 1, dtype: 'F32' });
  const geometry = checkpoint.geometry!;
  const cluster = await startMemoryCluster(checkpoint, {
    transport: createWsTransport(),
    partition: 'columns',
    keys: 'coordinator',
    capacities: [2 ** 30, 2 ** 30],
  });
  try {
    await cluster.coordinator.whenReady();
    const random = createRandom(1);
    const query = Float32Array.from({ length: geometry.queryGroupUsed * SIDES * geometry.keyWidth }, () =>
      random.normal(),
    );
    const lookUp = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++)
        await cluster.coordinator.lookUp({ layer: 0, tokenCount: 1, query, preQuery: null, explain: false });
    };
    await lookUp(2_000); // V8 has compiled most of it
    const kept: number[] = [];
    for (let round = 0; round < 7; round++) {
      collectYoung();
      collectYoung();
      const before = process.memoryUsage().heapUsed;
      await lookUp(LOOKUPS);
      collectYoung();
      collectYoung();
      kept.push((process.memoryUsage().heapUsed - before) / LOOKUPS);
    }
    expect(kept.sort((a, b) => a - b)[3]).toBeLessThan(KEPT_BYTES_MAX);
  } finally {
    await cluster.stop();
  }
});
