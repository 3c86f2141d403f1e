import type { ShardSlice } from '@ultramem/planner';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gatherRows, routeEntries, rowGroups } from './route.ts';

function slice(shard: number, rows: [number, number], columns: [number, number]): ShardSlice {
  return {
    shard,
    rows: { start: rows[0], end: rows[1] },
    columns: { start: columns[0], end: columns[1] },
    preColumns: { start: 0, end: 0 },
    keys: null,
  };
}

const grid = [
  slice(0, [4, 8], [2, 4]),
  slice(1, [0, 4], [2, 4]),
  slice(2, [4, 8], [0, 2]),
  slice(3, [0, 4], [0, 2]),
];

describe('rowGroups', () => {
  it('orders by rows, then columns, whatever the order of the shards', () => {
    const order = (slices: readonly ShardSlice[]) =>
      rowGroups(slices).map(({ rows, shards }) => [rows.start, ...shards.map(({ shard }) => shard)]);
    const expected = [
      [0, 3, 1],
      [4, 2, 0],
    ];
    expect(order(grid)).toEqual(expected);
    expect(order([...grid].reverse())).toEqual(expected);
  });
});

/** Winners whose block and weights say which entry they were. */
function winnersOf(slot: readonly number[]) {
  return {
    slot: Uint32Array.from(slot),
    block: Uint8Array.from(slot, (_, i) => i),
    weight: Float32Array.from({ length: 2 * slot.length }, (_, i) => (i % 2 === 0 ? i / 2 : -i)),
    coreCount: 2,
  };
}

describe('routeEntries', () => {
  it('groups the winners by the owner of their slot and leaves out tokens that hit nothing', () => {
    const [low, high] = routeEntries(rowGroups(grid), winnersOf([0, 7, 5, 6, 3, 1]), 3);
    expect(low).toMatchObject({
      token: Uint32Array.of(0, 2),
      entryStart: Uint32Array.of(0, 1, 3),
      slot: Uint32Array.of(0, 3, 1),
      block: Uint8Array.of(0, 4, 5),
      weight: Float32Array.of(0, -1, 4, -9, 5, -11),
    });
    expect(high).toMatchObject({
      token: Uint32Array.of(0, 1),
      entryStart: Uint32Array.of(0, 1, 3),
      slot: Uint32Array.of(7, 5, 6),
      block: Uint8Array.of(1, 2, 3),
    });
  });

  it('takes the winners as they are where one range holds all rows', () => {
    const winners = winnersOf([3, 1, 0, 2]);
    const columns = [slice(0, [0, 4], [0, 1]), slice(1, [0, 4], [1, 2])];
    const routed = routeEntries(rowGroups(columns), winners, 2);
    expect(routed).toHaveLength(1);
    expect(routed[0].slot).toBe(winners.slot);
    expect(routed[0].weight).toBe(winners.weight);
    expect(routed[0]).toMatchObject({ token: Uint32Array.of(0, 1), entryStart: Uint32Array.of(0, 2, 4) });
    expect(routed[0].shards.map(({ shard }) => shard)).toEqual([0, 1]);
  });

  it('gives a group that was not hit, and no entries for no tokens', () => {
    expect(routeEntries(rowGroups(grid), winnersOf([1, 2]), 1)[1]).toMatchObject({
      token: new Uint32Array(0),
      slot: new Uint32Array(0),
    });
    for (const slices of [grid, grid.slice(2, 3)]) {
      const none = routeEntries(rowGroups(slices), winnersOf([]), 0);
      for (const { entryStart, token } of none) expect([...entryStart, ...token]).toEqual([0]);
    }
  });

  it('sends every entry to exactly one row range, in the order of the selection', () => {
    const batch = fc.record({
      cuts: fc.uniqueArray(fc.integer({ min: 1, max: 99 }), { maxLength: 5 }),
      tokens: fc.array(fc.array(fc.nat(99), { minLength: 3, maxLength: 3 }), { maxLength: 6 }),
    });
    fc.assert(
      fc.property(batch, ({ cuts, tokens }) => {
        const bounds = [0, ...cuts.sort((a, b) => a - b), 100];
        const slices = cuts.map((_, i) => slice(i, [bounds[i] ?? 0, bounds[i + 1] ?? 0], [0, 1]));
        slices.push(slice(cuts.length, [bounds.at(-2) ?? 0, 100], [0, 1]));
        const winners = winnersOf(tokens.flat());
        const groups = routeEntries(rowGroups(slices), winners, tokens.length);
        expect(groups).toHaveLength(slices.length);
        for (const { rows, token, entryStart, slot, block, weight } of groups) {
          const entry = [...block];
          expect(entry).toEqual([...entry].sort((a, b) => a - b));
          expect(slot.every((row) => row >= rows.start && row < rows.end)).toBe(true);
          expect([...slot]).toEqual(entry.map((i) => winners.slot[i]));
          expect([...weight]).toEqual(entry.flatMap((i) => [...winners.weight.subarray(2 * i, 2 * i + 2)]));
          expect(entryStart).toHaveLength(token.length + 1);
          token.forEach((t, at) => {
            const own = entry.slice(entryStart[at], entryStart[at + 1]);
            expect(own.length).toBeGreaterThan(0);
            for (const i of own) expect(Math.floor(i / 3)).toBe(t);
          });
        }
        const all = groups.flatMap(({ block }) => [...block]).sort((a, b) => a - b);
        expect(all).toEqual(Array.from(winners.slot, (_, i) => i));
      }),
    );
  });
});

it('gatherRows picks rows and columns', () => {
  const from = Float32Array.of(0, 1, 2, 10, 11, 12, 20, 21, 22);
  expect(gatherRows(from, 3, Uint32Array.of(2, 0), { start: 1, end: 3 })).toEqual(
    Float32Array.of(21, 22, 1, 2),
  );
  expect(gatherRows(from, 3, Uint32Array.of(2, 0), { start: 3, end: 3 })).toEqual(new Float32Array(0));
  const all = gatherRows(from, 3, Uint32Array.of(0, 1, 2), { start: 0, end: 3 });
  expect(all).toBe(from);
});
