import { expect, it } from 'vitest';
import { groupEntries } from './group-entries.ts';

it('puts entries together by token and block, in their order, and leaves out what has none', () => {
  const request = {
    ...{ tokenCount: 3, entryStart: Uint32Array.of(0, 4, 4, 6), slot: new Uint32Array(6) },
    ...{
      block: Uint8Array.of(2, 0, 2, 0, 1, 1),
      blockCount: 3,
      weight: new Float32Array(12),
      coreCount: 2,
      pre: null,
    },
  };
  const weights = Float32Array.from({ length: 12 }, (_, i) => i);
  expect(groupEntries(request, Uint32Array.of(10, 11, 12, 13, 14, 15), weights)).toEqual({
    target: Uint32Array.of(0, 2, 7),
    start: Uint32Array.of(0, 2, 4, 6),
    rows: Uint32Array.of(11, 13, 10, 12, 14, 15),
    weights: Float32Array.of(2, 3, 6, 7, 0, 1, 4, 5, 8, 9, 10, 11),
    coreCount: 2,
  });
});

it('has no groups where there are no entries', () => {
  const request = {
    ...{ tokenCount: 2, entryStart: new Uint32Array(3), slot: new Uint32Array(0), block: new Uint8Array(0) },
    ...{ blockCount: 4, weight: new Float32Array(0), coreCount: 1, pre: null },
  };
  expect(groupEntries(request, new Uint32Array(0), new Float32Array(0))).toMatchObject({
    target: new Uint32Array(0),
    start: Uint32Array.of(0),
  });
});
