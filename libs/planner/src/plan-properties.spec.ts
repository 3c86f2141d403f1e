import { OperatingError } from '@ultramem/invariant';
import { type MemoryGeometry, rangeLength } from '@ultramem/ultramem';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { PlanRequest } from './candidate.ts';
import { checkPlan } from './check-plan.ts';
import { explainPlan, planFacts } from './explain.ts';
import { coordinatorBytes, sliceBytes } from './memory.ts';
import type { Partition } from './partition.ts';
import { type Plan, planPartition } from './plan.ts';

const geometries: fc.Arbitrary<MemoryGeometry> = fc
  .record({
    family: fc.constantFrom('ultramem_v1' as const, 'ultramem_v2' as const, 'memory_plus' as const),
    layerCount: fc.integer({ min: 1, max: 6 }),
    headCount: fc.integer({ min: 1, max: 4 }),
    topK: fc.integer({ min: 1, max: 64 }),
    moreKeys: fc.integer({ min: 0, max: 2000 }),
    keyWidth: fc.integer({ min: 1, max: 256 }),
    tableRows: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    windowShare: fc.double({ min: 0, max: 1, noNaN: true }),
    blocks: fc.constantFrom(1, 4, 9),
    corePartWidth: fc.integer({ min: 1, max: 300 }),
    preWidth: fc.integer({ min: 0, max: 300 }),
  })
  .map(({ moreKeys, windowShare, corePartWidth, blocks, preWidth, ...sizes }) => {
    const v2 = sizes.family === 'ultramem_v2';
    const coreCount = sizes.family === 'memory_plus' ? 1 : 2;
    return {
      ...sizes,
      modelWidth: 64,
      keyCount: sizes.topK + moreKeys,
      rank: coreCount,
      coreCount,
      queryGroupCount: 1,
      queryGroupUsed: 1,
      windowRows: v2 ? Math.max(1, Math.floor(sizes.tableRows * windowShare)) : sizes.tableRows,
      windowStride: v2 ? Math.floor(sizes.tableRows / sizes.layerCount) : 0,
      virtualBlocks: blocks,
      poolBlocks: blocks,
      valueWidth: corePartWidth * coreCount,
      preWidth: v2 ? preWidth : 0,
      preActivation: false,
      sharedTable: sizes.family !== 'ultramem_v1',
    };
  });

const partitions: fc.Arbitrary<Partition | 'auto'> = fc.oneof(
  fc.constantFrom<Partition | 'auto'>('auto', { kind: 'slots' }, { kind: 'columns' }),
  fc.record({
    kind: fc.constant('grid' as const),
    rowParts: fc.integer({ min: 1, max: 4 }),
    columnParts: fc.integer({ min: 1, max: 4 }),
  }),
);

const requests: fc.Arbitrary<PlanRequest> = fc.record({
  geometry: geometries,
  bytes: fc.record({
    value: fc.constantFrom(2 as const, 4 as const),
    pre: fc.constantFrom(2 as const, 4 as const),
    denseBytes: fc.nat(),
  }),
  workers: fc.array(fc.integer({ min: 20, max: 45 }), { minLength: 1, maxLength: 12 }).map((exponents) =>
    exponents.map((exponent, i) => ({
      id: `worker ${i}`,
      capacityBytes: Math.floor(1.7 ** exponent * 1000),
    })),
  ),
  partition: partitions,
  keys: fc.constantFrom('auto' as const, 'coordinator' as const, 'workers' as const),
  link: fc.record({
    roundTripMs: fc.double({ min: 0.01, max: 10, noNaN: true }),
    bytesPerSecond: fc.constantFrom(1e8, 1e10),
  }),
  rates: fc.record({
    macsPerSecond: fc.constantFrom(1e9, 1e11),
    rowBytesPerSecond: fc.constantFrom(1e9, 1e10),
  }),
});

function planOrRefusal(request: PlanRequest): Plan | OperatingError {
  try {
    return planPartition(request);
  } catch (error) {
    if (error instanceof OperatingError) return error;
    throw error;
  }
}

it('a plan covers every table once, fits on every worker, and is the same again; else the error has its three parts', () => {
  let planned = 0;
  fc.assert(
    fc.property(requests, (request) => {
      const plan = planOrRefusal(request);
      expect(planOrRefusal(structuredClone(request))).toEqual(plan);
      if (plan instanceof OperatingError) {
        expect(plan.code).toBe('PLAN_IMPOSSIBLE');
        expect(plan.message.split('; ')).toHaveLength(3);
        return;
      }
      planned++;
      checkPlan(request.geometry, plan);
      const capacityOf = new Map(request.workers.map(({ id, capacityBytes }) => [id, capacityBytes]));
      for (const slice of plan.slices) {
        const worker = plan.workerIds[slice.shard] ?? '';
        expect(sliceBytes(request.geometry, request.bytes, slice)).toBeLessThanOrEqual(
          capacityOf.get(worker) ?? 0,
        );
      }
    }),
    { numRuns: 400 },
  );
  expect(planned).toBeGreaterThan(50);
});

it('no candidate that was allowed and fits is predicted faster at both batch sizes', () => {
  fc.assert(
    fc.property(requests, (request) => {
      const plan = planOrRefusal({ ...request, partition: 'auto' });
      if (plan instanceof OperatingError) return;
      const chosen = plan.estimates.find(
        ({ partition, keys }) => partition === plan.partition && keys === plan.keys,
      );
      if (chosen === undefined || chosen.refusal !== null) throw new Error('the chosen candidate fits');
      for (const estimate of plan.estimates) {
        if (estimate.refusal !== null) continue;
        expect(
          estimate.lookups.some(({ ms }, i) => ms >= (chosen.lookups[i]?.ms ?? Number.POSITIVE_INFINITY)),
        ).toBe(true);
      }
    }),
  );
});

it('memory grows with every part of a slice, and slices together hold what one worker would', () => {
  fc.assert(
    fc.property(requests, fc.nat(), (request, growth) => {
      const { geometry, bytes } = request;
      const plan = planOrRefusal({
        ...request,
        partition: 'auto',
        workers: request.workers.map(({ id }) => ({ id, capacityBytes: 1e18 })),
      });
      if (plan instanceof OperatingError) return;
      const whole = {
        shard: 0,
        rows: { start: 0, end: geometry.tableRows },
        columns: { start: 0, end: geometry.valueWidth },
        preColumns: { start: 0, end: geometry.preWidth },
        keys: plan.keys === 'coordinator' ? null : { start: 0, end: geometry.keyCount },
      };
      const total = plan.slices.reduce((sum, slice) => sum + sliceBytes(geometry, bytes, slice), 0);
      expect(total).toBe(sliceBytes(geometry, bytes, whole));
      const longer = { ...whole, rows: { start: 0, end: geometry.tableRows + growth } };
      expect(sliceBytes(geometry, bytes, longer)).toBeGreaterThanOrEqual(sliceBytes(geometry, bytes, whole));
      expect(coordinatorBytes(geometry, bytes, 'auto')).toBeGreaterThan(
        coordinatorBytes(geometry, bytes, 'workers'),
      );
      expect(
        Math.min(...plan.slices.map(({ rows, columns }) => rangeLength(rows) * rangeLength(columns))),
      ).toBeGreaterThan(0);
    }),
  );
});

it('the remedies of an error work: that many workers, or that much memory', () => {
  let tried = 0;
  const alike = fc.record({
    count: fc.integer({ min: 1, max: 8 }),
    capacityBytes: fc.integer({ min: 1e6, max: 1e9 }),
  });
  const workersOf = (count: number, capacityBytes: number) =>
    Array.from({ length: count }, (_, i) => ({ id: `worker ${i}`, capacityBytes }));
  fc.assert(
    fc.property(requests, alike, (request, { count, capacityBytes }) => {
      const short: PlanRequest = { ...request, partition: 'auto', workers: workersOf(count, capacityBytes) };
      const refused = planOrRefusal(short);
      if (!(refused instanceof OperatingError)) return;
      const bytes = /raise --memory to .* \((\d+) bytes\)/.exec(refused.message);
      const more = /at least (\d+) in all/.exec(refused.message);
      if (bytes !== null)
        expect(planOrRefusal({ ...short, workers: workersOf(count, Number(bytes[1])) })).not.toBeInstanceOf(
          OperatingError,
        );
      if (more !== null)
        expect(
          planOrRefusal({ ...short, workers: workersOf(Number(more[1]), capacityBytes) }),
        ).not.toBeInstanceOf(OperatingError);
      if (bytes !== null && more !== null) tried++;
    }),
    { numRuns: 200 },
  );
  expect(tried).toBeGreaterThan(10);
});

it('the report keeps to its width and the facts are plain JSON', () => {
  fc.assert(
    fc.property(requests, (request) => {
      const plan = planOrRefusal(request);
      if (plan instanceof OperatingError) return;
      const lines = explainPlan(plan, request.geometry).split('\n');
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(110);
      const facts = planFacts(plan);
      expect(JSON.parse(JSON.stringify(facts))).toEqual(facts);
      expect(facts.workers.map(({ worker }) => worker)).toEqual(plan.workerIds);
    }),
  );
});
