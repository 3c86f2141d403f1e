import { planPartition } from '@ultramem/planner';
import { type MemoryGeometry, memoryGeometry, parseModelConfig } from '@ultramem/ultramem';
import { describe, expect, it } from 'vitest';
import { planText } from './plan.ts';
import { type PlanFlags, parsePlanFlags } from './plan-request.ts';

const FLAGS: PlanFlags = { model: 'm', workers: '3', partition: 'auto', keys: 'auto' };

describe('flags', () => {
  it('give one memory to all workers, or each its own', () => {
    const capacities = (memory: string): number[] =>
      parsePlanFlags({ ...FLAGS, memory }).workers.map(({ capacityBytes }) => capacityBytes);
    expect(capacities('1KiB')).toEqual([1024, 1024, 1024]);
    expect(capacities('1KiB, 2KB,3')).toEqual([1024, 2000, 3]);
  });

  it('may leave everything open', () => {
    const { workers, ...rest } = parsePlanFlags(FLAGS);
    expect(workers.map(({ id }) => id)).toEqual(['worker-1', 'worker-2', 'worker-3']);
    expect(rest).toEqual({
      partition: 'auto',
      keys: 'auto',
      coordinatorBytesMax: null,
      roundTripMs: null,
      bytesPerSecond: null,
      memoryIsKnown: false,
    });
  });

  it('describe a link and a coordinator', () => {
    const flags = { linkRoundTrip: '0.5', linkBandwidth: '2MB/s', coordinatorMemory: '1GiB' };
    expect(parsePlanFlags({ ...FLAGS, ...flags })).toMatchObject({
      roundTripMs: 0.5,
      bytesPerSecond: 2_000_000,
      coordinatorBytesMax: 2 ** 30,
    });
  });

  it.each<[Partial<PlanFlags>, string]>([
    [{ workers: '0' }, '--workers is "0"; expected a whole number of 1 to 4096'],
    [{ workers: 'two' }, '--workers is "two"'],
    [{ memory: '1GiB,2GiB' }, '--memory has 2 sizes for 3 workers; expected one size for all'],
    [{ memory: 'much' }, 'the size is "much"'],
    [{ linkRoundTrip: '0' }, '--link-round-trip is "0"'],
    [{ linkBandwidth: '1GB' }, '--link-bandwidth is "1GB"; expected a size per second'],
    [{ linkBandwidth: '/s' }, '--link-bandwidth is "/s"'],
    [{ partition: 'rows' }, 'the partition is "rows"'],
    [{ keys: 'here' }, 'the keys mode is "here"'],
  ])('%j is wrong usage', (flags, message) => {
    expect(() => parsePlanFlags({ ...FLAGS, ...flags })).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(message) }),
    );
  });
});

describe('a plan as text', () => {
  const geometryOf = (settings: Record<string, unknown>): MemoryGeometry =>
    memoryGeometry(parseModelConfig(settings))!;
  const text = (geometry: MemoryGeometry, flags: Partial<PlanFlags>): string => {
    const { memoryIsKnown, workers, partition, keys } = parsePlanFlags({ ...FLAGS, ...flags });
    const request = {
      ...{ geometry, workers, partition, keys, bytes: { value: 2, pre: 2, denseBytes: 2 ** 20 } as const },
      ...{
        link: { roundTripMs: 1, bytesPerSecond: 1e9 },
        rates: { macsPerSecond: 1e9, rowBytesPerSecond: 1e9 },
      },
    };
    return planText(planPartition(request), request, memoryIsKnown);
  };

  it('says who owns what', () => {
    const geometry = geometryOf({
      mem_type: 'ultramem_v2',
      mem_insert_way: '1:2',
      mem_knum: 12,
      mem_vdim: 12,
      mem_pre_vdim: 6,
      mem_knn: 4,
    });
    const slots = text(geometry, { partition: 'slots', keys: 'coordinator' });
    expect(slots).toMatch(/\n\* +slots +coordinator/);
    expect(slots).toMatch(/worker +rows +columns +pre-value columns +keys +bytes\n/);
    expect(slots).toMatch(/worker-2 +48-95 +0-11 +0-5 +- +1\.7 KiB\n/);
    expect(slots).toMatch(/coordinator: .* for dense weights, shuffles and keys$/);
  });

  it('shows the memory that was given, and who holds keys', () => {
    const geometry = geometryOf({
      mem_type: 'ultramem_v1',
      mem_insert_way: '1:2',
      mem_knum: 6,
      mem_vdim: 12,
      mem_knn: 4,
    });
    const columns = text(geometry, { partition: 'columns', keys: 'workers', memory: '1MiB,1MiB,2MiB' });
    expect(columns).toMatch(/worker-3 +0-35 +6-11 +6-11 +[\d.]+ KiB +2 MiB\n/);
    expect(columns).toMatch(/coordinator: .* for dense weights, shuffles$/);
    expect(Math.max(...columns.split('\n').map((line) => line.length))).toBeLessThan(110);
  });
});
