import type { MemoryGeometry } from '@ultramem/ultramem';
import { describe, expect, it } from 'vitest';
import { estimateLookup, type LookupCase } from './estimate.ts';
import { type Partition, parsePartition } from './partition.ts';
import { sliceTables } from './slice-tables.ts';

/** Two v1 layers with 8 winners per token over tables of 64 x 12. */
const V1: MemoryGeometry = {
  family: 'ultramem_v1',
  layerCount: 2,
  modelWidth: 16,
  headCount: 2,
  topK: 4,
  keyCount: 16,
  keyWidth: 8,
  rank: 2,
  coreCount: 2,
  queryGroupCount: 1,
  queryGroupUsed: 1,
  tableRows: 64,
  windowRows: 64,
  windowStride: 0,
  virtualBlocks: 4,
  poolBlocks: 4,
  valueWidth: 12,
  preWidth: 0,
  preActivation: false,
  sharedTable: false,
};
const V2: MemoryGeometry = { ...V1, family: 'ultramem_v2', sharedTable: true, preWidth: 6 };

function lookupCase(geometry: MemoryGeometry, partitionText: string, workerCount: number): LookupCase {
  const partition = parsePartition(partitionText) as Partition;
  const workers = Array.from({ length: workerCount }, (_, i) => ({ id: `w${i}`, capacityBytes: 1000 }));
  const sliced = sliceTables(geometry, partition, 'workers', workers);
  if (typeof sliced === 'string') throw new Error(sliced);
  return {
    geometry,
    bytes: { value: 4, pre: 2, denseBytes: 0 },
    partition,
    slices: sliced.slices,
    link: { roundTripMs: 1, bytesPerSecond: 1e6 },
    rates: { macsPerSecond: 1e6, rowBytesPerSecond: 1e6 },
  };
}

/** Probability that one of two equal row ranges holds any of 8 winners. */
const HIT = 255 / 256;

describe('estimateLookup', () => {
  it.each([
    // An entry is 4 + 4*2 + 1 = 13 bytes; 8 entries are 104; a partial vector is 4 blocks * 12 columns * 4 = 192 bytes.
    ['slots, v1', V1, 'slots', 2, 'coordinator', 1, 104 + 2 * HIT * 4, 2 * HIT * 192],
    ['columns, v1', V1, 'columns', 2, 'coordinator', 1, 2 * (104 + 4), 192],
    ['grid, v1', V1, 'grid:2x2', 4, 'coordinator', 1, 2 * 104 + 4 * HIT * 4, 4 * HIT * 96],
    // Queries: 1 group * 2 sides * 8 * 4 = 64 bytes to each; candidates: 2 heads * 2 sides * 4 * (4 + 8) = 192 from each.
    [
      'slots, keys on workers',
      V1,
      'slots',
      2,
      'workers',
      2,
      104 + 2 * HIT * 4 + 2 * 64,
      2 * HIT * 192 + 2 * 192,
    ],
    // With whole rows the pre-value query of 6 * 4 bytes rides along to each worker hit.
    ['slots, v2', V2, 'slots', 2, 'coordinator', 1, 104 + 2 * HIT * (4 + 24), 2 * HIT * 192],
    // Else a phase of its own: 8 slots of 4 bytes and a start to each worker, 24 bytes of query in all, 8 bytes back per entry.
    ['columns, v2', V2, 'columns', 2, 'coordinator', 2, 2 * (104 + 4) + 2 * (32 + 4) + 24, 192 + 2 * 64],
    ['columns, v2, keys on workers', V2, 'columns', 2, 'workers', 3, 216 + 96 + 128, 192 + 128 + 384],
  ] as const)('%s', (_, geometry, partition, workerCount, keys, roundTrips, bytesOut, bytesBack) => {
    const estimate = estimateLookup(lookupCase(geometry, partition, workerCount), keys, 1);
    expect(estimate).toMatchObject({ batch: 1, keys, roundTrips });
    expect(estimate.bytesOut).toBeCloseTo(bytesOut, 9);
    expect(estimate.bytesBack).toBeCloseTo(bytesBack, 9);
  });

  it('offers no more candidates than a worker has keys', () => {
    const few = lookupCase({ ...V1, keyCount: 4 }, 'slots', 2);
    const withKeys =
      estimateLookup(few, 'workers', 1).bytesBack - estimateLookup(few, 'coordinator', 1).bytesBack;
    expect(withKeys).toBeCloseTo(2 * 2 * 2 * 2 * 12, 9);
  });

  it('visits one worker where the window of a layer lies inside its slice', () => {
    const windowed = lookupCase({ ...V2, windowRows: 32, windowStride: 32 }, 'slots', 2);
    const { bytesOut, bytesBack } = estimateLookup(windowed, 'coordinator', 1);
    expect([bytesOut, bytesBack]).toEqual([104 + 4 + 24, 192]);
  });

  it('follows a window around the end of the table', () => {
    // Layer 0 sees rows 0 to 47, layer 1 rows 32 to 63 and 0 to 15: shares 2/3 and 1/3 of two halves, in turn.
    const wrapping = lookupCase({ ...V1, windowRows: 48, windowStride: 32 }, 'slots', 2);
    const hits = 1 - (1 / 3) ** 8 + 1 - (2 / 3) ** 8;
    expect(estimateLookup(wrapping, 'coordinator', 1).bytesBack).toBeCloseTo(hits * 192, 9);
  });

  it('adds round trips, bytes, arithmetic and row reads', () => {
    const slots = lookupCase(V1, 'slots', 2);
    // Scores: 2 heads * 2 sides * 16 keys * 8 * rank 2 = 1024; grid: 2 heads * 2 cores * (4*2*2 + 4*4*2) = 192.
    const local = 1 + (104 + 8 * HIT + 384 * HIT) / 1e3 + (1024 + 192) / 1e3 + (8 * 0.5 * 48) / 1e3;
    expect(estimateLookup(slots, 'coordinator', 1).ms).toBeCloseTo(local, 9);
    expect(estimateLookup(slots, 'coordinator', 256).ms).toBeCloseTo(1 + 256 * (local - 1), 6);
    // Half the keys each, one round trip more, 512 bytes more.
    expect(estimateLookup(slots, 'workers', 1).ms).toBeCloseTo(local + 1 + 0.512 - 0.512, 9);
  });

  it('with keys auto takes the faster mode for the batch', () => {
    const slots = lookupCase({ ...V1, keyCount: 64 }, 'slots', 2);
    expect(estimateLookup(slots, 'auto', 1)).toEqual(estimateLookup(slots, 'workers', 1));
    const slow: LookupCase = { ...slots, link: { roundTripMs: 10, bytesPerSecond: 1e6 } };
    expect(estimateLookup(slow, 'auto', 1)).toEqual(estimateLookup(slow, 'coordinator', 1));
    expect(estimateLookup(slow, 'auto', 256)).toEqual(estimateLookup(slow, 'workers', 256));
  });
});
