import { AssertionError, OperatingError } from '@ultramem/invariant';
import { type MemoryGeometry, rangeLength } from '@ultramem/ultramem';
import { describe, expect, it } from 'vitest';
import type { PlanRequest } from './candidate.ts';
import { checkPlan } from './check-plan.ts';
import { coordinatorBytes } from './memory.ts';
import { formatPartition } from './partition.ts';
import { planPartition } from './plan.ts';

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
/** Rows of 12 f32 in two tables: 6144 bytes; keys: 2 layers * 2 heads * 2 axes * 16 * 8 * 2 * 4 = 8192 bytes. */
function request(capacities: number[], changes: Partial<PlanRequest> = {}): PlanRequest {
  return {
    geometry: V1,
    bytes: { value: 4, pre: 4, denseBytes: 1000 },
    workers: capacities.map((capacityBytes, i) => ({ id: `w${i}`, capacityBytes })),
    partition: 'auto',
    keys: 'auto',
    link: { roundTripMs: 1, bytesPerSecond: 1e6 },
    rates: { macsPerSecond: 1e6, rowBytesPerSecond: 1e6 },
    ...changes,
  };
}

function failure(of: PlanRequest): string {
  try {
    planPartition(of);
  } catch (error) {
    if (error instanceof OperatingError) return `${error.code} ${error.message}`;
    throw error;
  }
  throw new Error('a plan was found');
}

describe('planPartition', () => {
  it('gives rows 2:1:1 to memory 2:1:1', () => {
    const plan = planPartition(request([20000, 10000, 10000], { partition: { kind: 'slots' } }));
    expect(plan.slices).toEqual([
      {
        shard: 0,
        rows: { start: 0, end: 32 },
        columns: { start: 0, end: 12 },
        preColumns: { start: 0, end: 0 },
        keys: { start: 0, end: 8 },
      },
      {
        shard: 1,
        rows: { start: 32, end: 48 },
        columns: { start: 0, end: 12 },
        preColumns: { start: 0, end: 0 },
        keys: { start: 8, end: 12 },
      },
      {
        shard: 2,
        rows: { start: 48, end: 64 },
        columns: { start: 0, end: 12 },
        preColumns: { start: 0, end: 0 },
        keys: { start: 12, end: 16 },
      },
    ]);
    expect(plan.workerIds).toEqual(['w0', 'w1', 'w2']);
  });

  it('leaves the last workers without keys where there are fewer of those', () => {
    const geometry: MemoryGeometry = { ...V1, keyCount: 2, topK: 1 };
    const plan = planPartition(
      request([1e5, 1e5, 1e5], { geometry, partition: { kind: 'slots' }, keys: 'workers' }),
    );
    expect(plan.slices.map(({ keys }) => keys)).toEqual([
      { start: 0, end: 1 },
      { start: 1, end: 2 },
      { start: 2, end: 2 },
    ]);
  });

  it('leaves the last column parts without pre-values where there are fewer of those', () => {
    const geometry: MemoryGeometry = { ...V1, family: 'ultramem_v2', preWidth: 2, sharedTable: true };
    const plan = planPartition(request([1e5, 1e5, 1e5], { geometry, partition: { kind: 'columns' } }));
    expect(plan.slices.map(({ preColumns }) => preColumns)).toEqual([
      { start: 0, end: 1 },
      { start: 1, end: 2 },
      { start: 2, end: 2 },
    ]);
  });

  it('cuts columns of values and pre-values alike, and no keys when the coordinator scores', () => {
    const geometry: MemoryGeometry = { ...V1, family: 'ultramem_v2', preWidth: 8, sharedTable: true };
    const plan = planPartition(
      request([20000, 10000, 10000], { geometry, partition: { kind: 'columns' }, keys: 'coordinator' }),
    );
    expect(plan.slices.map(({ columns }) => rangeLength(columns))).toEqual([6, 3, 3]);
    expect(plan.slices.map(({ preColumns }) => rangeLength(preColumns))).toEqual([4, 2, 2]);
    expect(plan.slices.map(({ rows, keys }) => [rangeLength(rows), keys])).toEqual([
      [64, null],
      [64, null],
      [64, null],
    ]);
  });

  it('lays a grid so that the larger parts fall to the larger workers', () => {
    const plan = planPartition(
      request([8000, 16000, 4000, 8000], { partition: { kind: 'grid', rowParts: 2, columnParts: 2 } }),
    );
    expect(plan.workerIds).toEqual(['w1', 'w0', 'w3', 'w2']);
    // Row groups 24:12 and column groups 24:12.
    expect(plan.slices.map(({ rows, columns }) => [rangeLength(rows), rangeLength(columns)])).toEqual([
      [43, 8],
      [43, 4],
      [21, 8],
      [21, 4],
    ]);
  });

  it('compares every partition and keys mode, and says why it took one', () => {
    const plan = planPartition(request([1e5, 1e5, 1e5, 1e5]));
    expect(plan.estimates.map(({ partition, keys }) => `${formatPartition(partition)} ${keys}`)).toEqual(
      ['slots', 'columns', 'grid:2x2'].flatMap((partition) =>
        ['auto', 'coordinator', 'workers'].map((keys) => `${partition} ${keys}`),
      ),
    );
    // Bytes per token without keys: slots 118 + 691, columns 432 + 192, grid 224 + 382.
    expect([formatPartition(plan.partition), plan.keys]).toEqual(['grid:2x2', 'auto']);
    expect(plan.chosenBecause).toMatch(
      /^lowest predicted time \(\d.* ms at batch 1 and \d.* ms at batch 256\), \d\.\d\d times as fast as /,
    );
    const asked = planPartition(request([1e5, 1e5, 1e5, 1e5], { partition: { kind: 'slots' } }));
    expect(asked.chosenBecause).toMatch(/^it was asked for \(.*\), though grid:2x2 is predicted faster$/);
  });

  it('prefers slots where all are equal', () => {
    const plan = planPartition(request([1e5]));
    expect(plan.partition).toEqual({ kind: 'slots' });
    expect(plan.chosenBecause).toMatch(/^predicted as fast as any \(.*\) and the simplest of the equals$/);
  });

  it('says when nothing else fits', () => {
    const plan = planPartition(request([1e5, 1e5], { geometry: { ...V1, valueWidth: 1, coreCount: 1 } }));
    expect(plan.chosenBecause).toMatch(/^nothing else fits \(/);
    const reasons = plan.estimates.flatMap(({ refusal }) => (refusal === null ? [] : [refusal.text]));
    expect(new Set(reasons)).toEqual(new Set(['columns has more workers (2) than columns (1)']));
  });

  it('with keys auto falls back on the mode that there is memory for', () => {
    // Without keys a worker needs 6144 bytes; with them 22528.
    expect(planPartition(request([7000])).keys).toBe('coordinator');
    // On the coordinator 1000 bytes of dense weights and 2 * 256 * 4 of shuffles; keys are 16384 more.
    expect(coordinatorBytes(V1, { value: 4, pre: 4, denseBytes: 1000 }, 'workers')).toBe(3048);
    expect(planPartition(request([23000], { coordinatorBytesMax: 3048 })).keys).toBe('workers');
  });

  it('counts bytes per worker as they were worked out by hand', () => {
    const plan = planPartition(request([1e5, 1e5], { partition: { kind: 'slots' }, keys: 'workers' }));
    expect(plan.estimates[0]).toMatchObject({
      workerBytes: [3072 + 8192, 3072 + 8192],
      coordinatorBytes: 3048,
    });
    const geometry: MemoryGeometry = { ...V1, family: 'ultramem_v2', preWidth: 8, sharedTable: true };
    const v2 = planPartition(
      request([1e5, 1e5], {
        geometry,
        bytes: { value: 2, pre: 2, denseBytes: 0 },
        partition: { kind: 'slots' },
      }),
    );
    expect(v2.estimates[0]).toMatchObject({ workerBytes: [32 * 20 * 2 + 8192, 32 * 20 * 2 + 8192] });
    const memoryPlus: MemoryGeometry = {
      ...V1,
      family: 'memory_plus',
      rank: 1,
      coreCount: 1,
      poolBlocks: 1,
      virtualBlocks: 1,
      sharedTable: true,
    };
    expect(coordinatorBytes(memoryPlus, { value: 2, pre: 2, denseBytes: 7 }, 'auto')).toBe(7 + 8192);
    const huge: MemoryGeometry = { ...V1, windowRows: 2 ** 30 };
    expect(coordinatorBytes(huge, { value: 2, pre: 2, denseBytes: 0 }, 'workers')).toBe(2 * 2 ** 32 * 8);
  });
});

describe('planPartition refuses', () => {
  it('what does not fit, with remedies that work', () => {
    const message = failure(request([2000, 2000], { keys: 'coordinator' }));
    expect(message).toBe(
      'PLAN_IMPOSSIBLE slots with keys coordinator needs 3 KiB on each of 2 workers, the largest has 2 KiB; expected every slice to fit on its worker; (1) add workers of 2 KiB: at least 4 in all, or (2) raise --memory to 3 KiB (3072 bytes)',
    );
    expect(planPartition(request([2000, 2000, 2000, 2000], { keys: 'coordinator' })).slices).toHaveLength(4);
    expect(planPartition(request([3072, 3072], { keys: 'coordinator' })).slices).toHaveLength(2);
  });

  it('uneven workers, naming the one', () => {
    expect(failure(request([4000, 1000], { partition: { kind: 'slots' }, keys: 'coordinator' }))).toBe(
      'PLAN_IMPOSSIBLE slots with keys coordinator needs 1.2 KiB to 4.8 KiB on each of 2 workers, but 4.8 KiB on w0, which has 3.9 KiB; expected every slice to fit on its worker; (1) add workers of 3.9 KiB: at least 3 in all, or (2) raise --memory to 4.8 KiB (4896 bytes)',
    );
  });

  it('a grid that does not fit, without the remedy that would change the grid', () => {
    expect(
      failure(
        request([500, 500, 500, 500], {
          partition: { kind: 'grid', rowParts: 2, columnParts: 2 },
          keys: 'coordinator',
        }),
      ),
    ).toBe(
      'PLAN_IMPOSSIBLE grid:2x2 with keys coordinator needs 1.5 KiB on each of 4 workers, the largest has 500 B; expected every slice to fit on its worker; raise --memory to 1.5 KiB (1536 bytes)',
    );
  });

  it('an asked-for partition that does not fit, naming one that does', () => {
    // 13 rows of 1 column: columns cannot be cut, slots can.
    const geometry: MemoryGeometry = { ...V1, valueWidth: 1, coreCount: 1 };
    expect(failure(request([1e5, 1e5], { geometry, partition: { kind: 'columns' } }))).toBe(
      'PLAN_IMPOSSIBLE columns has more workers (2) than columns (1); expected a partition that fits, here slots; ask for that one or for auto',
    );
  });

  it('a grid for another number of workers', () => {
    expect(
      failure(request([1e5, 1e5, 1e5, 1e5], { partition: { kind: 'grid', rowParts: 2, columnParts: 3 } })),
    ).toBe(
      'PLAN_IMPOSSIBLE grid:2x3 needs 6 workers, there are 4; expected a partition that fits, here slots or columns or grid:2x2; ask for that one or for auto',
    );
  });

  it('more workers than rows, and than columns', () => {
    const geometry = { ...V1, tableRows: 1, windowRows: 1, valueWidth: 1, coreCount: 1 };
    expect(failure(request([1e5, 1e5], { geometry, keys: 'coordinator' }))).toBe(
      'PLAN_IMPOSSIBLE slots has more workers (2) than rows (1), columns has more workers (2) than columns (1); expected one worker per part, with at least one row and column each; start another number of workers',
    );
  });

  it('what the coordinator has no memory for', () => {
    expect(failure(request([1e5], { keys: 'coordinator', coordinatorBytesMax: 3048 }))).toBe(
      'PLAN_IMPOSSIBLE slots with keys coordinator needs 19 KiB on the coordinator, which may use 3 KiB; expected dense weights, shuffles and its keys to fit there; use a coordinator with more memory, or --keys workers',
    );
    expect(failure(request([1e5], { keys: 'workers', coordinatorBytesMax: 3047 }))).toMatch(
      /; use a coordinator with more memory$/,
    );
  });

  it('no workers', () => {
    expect(failure(request([]))).toBe(
      'PLAN_IMPOSSIBLE there are no workers; expected at least one; start workers first',
    );
  });
});

describe('checkPlan', () => {
  const plan = planPartition(request([1e5, 1e5], { partition: { kind: 'slots' } }));
  const [first, second] = plan.slices;
  if (first === undefined || second === undefined) throw new Error('the plan has two slices');

  it('accepts a plan', () => {
    expect(() => checkPlan(V1, plan)).not.toThrow();
  });

  it.each([
    ['a gap', [first, { ...second, rows: { start: 33, end: 64 } }]],
    ['an overlap', [first, { ...second, rows: { start: 31, end: 64 } }]],
    ['an overlap that makes up for a gap', [first, { ...second, rows: { start: 31, end: 63 } }]],
    ['a row too many', [first, { ...second, rows: { start: 32, end: 65 } }]],
    ['missing columns', [first, { ...second, columns: { start: 0, end: 11 } }]],
    ['pre-values of a model without', [first, { ...second, preColumns: { start: 0, end: 1 } }]],
    ['keys on one worker only', [first, { ...second, keys: null }]],
    ['keys twice', [first, { ...second, keys: first.keys }]],
    ['another order', [second, first]],
    ['a worker too many', [first]],
  ])('refuses %s', (_, slices) => {
    expect(() => checkPlan(V1, { slices, workerIds: plan.workerIds })).toThrow(AssertionError);
  });

  it('refuses one worker with two shards, and pre-values that are not covered', () => {
    expect(() => checkPlan(V1, { slices: plan.slices, workerIds: ['w0', 'w0'] })).toThrow(AssertionError);
    expect(() => checkPlan({ ...V1, preWidth: 4 }, plan)).toThrow(AssertionError);
  });
});
