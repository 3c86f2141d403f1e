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

describe('routeEntries', () => {
  it('groups the winners by the owner of their slot and leaves out tokens that hit nothing', () => {
    const addresses = { slot: Uint32Array.of(0, 7, 5, 6, 3, 1), block: new Uint8Array(6) };
    const [low, high] = routeEntries(grid, addresses, 3);
    expect(low).toMatchObject({
      token: Uint32Array.of(0, 2),
      entryStart: Uint32Array.of(0, 1, 3),
      entry: Uint32Array.of(0, 4, 5),
    });
    expect(high).toMatchObject({
      token: Uint32Array.of(0, 1),
      entryStart: Uint32Array.of(0, 1, 3),
      entry: Uint32Array.of(1, 2, 3),
    });
  });

  it('gives a group that was not hit, and no entries for no tokens', () => {
    const addresses = { slot: Uint32Array.of(1, 2), block: new Uint8Array(2) };
    expect(routeEntries(grid, addresses, 1)[1]).toMatchObject({
      token: new Uint32Array(0),
      entry: new Uint32Array(0),
    });
    const none = routeEntries(grid, { slot: new Uint32Array(0), block: new Uint8Array(0) }, 0);
    expect(none.map(({ entryStart }) => entryStart)).toEqual([Uint32Array.of(0), Uint32Array.of(0)]);
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
        const slot = Uint32Array.from(tokens.flat());
        const groups = routeEntries(slices, { slot, block: new Uint8Array(slot.length) }, tokens.length);
        for (const { rows, token, entryStart, entry } of groups) {
          expect([...entry]).toEqual([...entry].sort((a, b) => a - b));
          for (const i of entry) expect(slot[i] >= rows.start && slot[i] < rows.end).toBe(true);
          token.forEach((t, at) => {
            const own = [...entry.subarray(entryStart[at], entryStart[at + 1])];
            expect(own.length).toBeGreaterThan(0);
            for (const i of own) expect(Math.floor(i / 3)).toBe(t);
          });
        }
        const all = groups.flatMap(({ entry }) => [...entry]).sort((a, b) => a - b);
        expect(all).toEqual(Array.from(slot, (_, i) => i));
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
});
