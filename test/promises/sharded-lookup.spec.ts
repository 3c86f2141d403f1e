// What the README promises, on random models, partitions, worker counts and memory sizes.
import { syntheticCheckpoint } from '@ultramem/checkpoint/synthetic';
import { createRandom } from '@ultramem/environment';
import {
  createLocalLookup,
  type LookupAnswer,
  type LookupRequest,
  loadMemoryLayers,
} from '@ultramem/inference';
import { createReferenceKernels } from '@ultramem/kernels';
import { createNativeKernels, probeNative } from '@ultramem/kernels-native';
import type { MemoryGeometry } from '@ultramem/ultramem';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { startMemoryCluster } from './memory-cluster.ts';

const WIDTH = 16;
const dense = {
  d_model: WIDTH,
  n_heads: 2,
  n_layers: 3,
  mlp_hidden_size: 16,
  vocab_size: 64,
  embedding_size: 64,
  rope: true,
  include_bias: false,
  layer_norm_type: 'rms',
  max_sequence_length: 64,
};

const family = fc.oneof(
  fc.record({
    mem_type: fc.constant('ultramem_v1'),
    mem_insert_way: fc.constantFrom('0:1/2:2', '1:2'),
    mem_knum: fc.integer({ min: 4, max: 9 }),
    mem_vdim: fc.constantFrom(8, 10, 14),
    mem_head: fc.constantFrom(1, 2),
    mem_knn: fc.integer({ min: 1, max: 8 }),
  }),
  fc
    .record({
      mem_type: fc.constant('ultramem_v2'),
      mem_insert_way: fc.constantFrom('full', '0:0/1:2'),
      mem_knum: fc.integer({ min: 4, max: 8 }),
      mem_vdim: fc.constantFrom(8, 12),
      mem_pre_vdim: fc.constantFrom(0, 2, 7),
      mem_use_glu_act: fc.boolean(),
      mem_q_for_each_tucker_rank: fc.boolean(),
      mem_share_ratio: fc.constantFrom(0.4, 1),
      expand: fc.constantFrom([1, 1], [2, 1], [2, 4]),
      mem_head: fc.constantFrom(1, 2),
      mem_knn: fc.integer({ min: 1, max: 3 }), // a shared table of 4 x 4 rows leaves 3 keys an axis
    })
    .map(({ expand: [key, value], ...rest }) => ({
      ...rest,
      mem_key_expand_time: key,
      mem_value_expand_time: value,
    })),
  fc.record({
    mem_type: fc.constant('memory_plus'),
    mem_insert_way: fc.constantFrom('0:0/1:2', '1:1'),
    mem_knum: fc.integer({ min: 7, max: 12 }),
    mem_vdim: fc.constant(WIDTH),
    mem_head: fc.constantFrom(1, 3),
    mem_knn: fc.integer({ min: 2, max: 5 }),
  }),
);

const reference = createReferenceKernels();
/** Plain TypeScript again where there is no compiler. */
const native = probeNative().available ? createNativeKernels({ threads: 2 }) : reference;
const kernelsOf = { reference, native };
afterAll(() => native.close());

const scenario = fc.record({
  model: family.map((memory) => ({ ...dense, mem_kdim: 6, ...memory })),
  seed: fc.integer({ min: 1, max: 1e6 }),
  partition: fc.constantFrom('slots', 'columns', 'grid'),
  capacities: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 7 }),
  keys: fc.constantFrom('coordinator', 'workers', 'auto'),
  tokenCount: fc.integer({ min: 1, max: 6 }),
  smallFrames: fc.boolean(),
  // Mixed where both are there; what they answer is held against plain TypeScript alone.
  backends: fc.constantFrom<('reference' | 'native')[]>(
    ['reference'],
    ['native'],
    ['reference', 'native'],
    ['native', 'reference'],
  ),
});

function randomRequest(
  geometry: MemoryGeometry,
  layer: number,
  tokenCount: number,
  seed: number,
): LookupRequest {
  const random = createRandom(seed);
  const normal = (length: number) => Float32Array.from({ length }, () => random.normal());
  return {
    layer,
    tokenCount,
    query: normal(tokenCount * geometry.queryGroupUsed * 2 * geometry.keyWidth),
    preQuery: geometry.preWidth > 0 ? normal(tokenCount * geometry.preWidth) : null,
    explain: seed % 2 === 0,
  };
}

function expectSameChoice(found: LookupAnswer, expected: LookupAnswer): void {
  // Scored by workers, candidates are there anyway.
  if (expected.candidates !== null) expect(found.candidates).toEqual(expected.candidates);
  expect(found.selection).toEqual(expected.selection);
  expect(found.addresses).toEqual(expected.addresses);
}

const largest = (numbers: Float32Array) =>
  numbers.reduce((most, number) => Math.max(most, Math.abs(number)), 0);

describe('a sharded lookup', () => {
  it('equals one process: selections always, columns bit for bit, slots within 1e-5 and the same in every run', async () => {
    await fc.assert(
      fc.asyncProperty(
        scenario,
        async ({ model, seed, partition, capacities, keys, tokenCount, smallFrames, backends }) => {
          const checkpoint = await syntheticCheckpoint(model, {
            seed,
            dtype: seed % 2 === 0 ? 'BF16' : 'F32',
          });
          const geometry = checkpoint.geometry;
          if (geometry === null) throw new Error('these models have memory');
          const memoryLayers = await loadMemoryLayers(checkpoint, reference);
          const local = await createLocalLookup({ checkpoint, kernels: reference, memoryLayers });
          const workers = partition === 'grid' ? [1, 1, 1, 1] : capacities;
          const cluster = await startMemoryCluster(checkpoint, {
            partition: partition === 'grid' ? 'grid:2x2' : partition,
            keys,
            kernels: backends.map((name) => kernelsOf[name]),
            capacities: workers.map((share) => share * 1e6),
            ...(smallFrames ? { frameBytesMax: 1 } : {}), // one token a message
          });
          try {
            for (let layer = 0; layer < geometry.layerCount; layer++) {
              const request = randomRequest(geometry, layer, tokenCount, seed + layer);
              const expected = await local(request);
              const found = await cluster.coordinator.lookUp(request);
              expectSameChoice(found, expected);
              const again = await cluster.coordinator.lookUp(request);
              expect(again.pooled).toEqual(found.pooled);
              const difference = largest(
                found.pooled.map((number, i) => number - (expected.pooled[i] ?? Number.NaN)),
              );
              expect(difference).toBeLessThanOrEqual(1e-5 * largest(expected.pooled));
              // Pre-scores are added over columns in another order: the last bit of f32 may differ there.
              if (partition === 'columns' && geometry.preWidth === 0)
                expect(found.pooled).toEqual(expected.pooled);
            }
          } finally {
            await cluster.stop();
          }
        },
      ),
      { numRuns: 60 },
    );
  }, 120_000);
});
