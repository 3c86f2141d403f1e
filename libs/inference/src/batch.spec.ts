import { describe, expect, it } from 'vitest';
import { layOutBatch } from './batch.ts';
import { createKvCache, reserve } from './kv-cache.ts';

const config = { nLayers: 1, embeddingSize: 10, maxSequenceLength: 6 };
type Config = Parameters<typeof layOutBatch>[0];
const layOut = (sequences: Parameters<typeof layOutBatch>[1]) => layOutBatch(config as Config, sequences);

function cacheOf(length: number) {
  return { ...createKvCache(config), length };
}

describe('layOutBatch', () => {
  it('puts sequences one behind the other, each at its own positions', () => {
    const batch = layOut([
      { cache: cacheOf(0), tokenIds: [7, 8, 9] },
      { cache: cacheOf(4), tokenIds: Uint32Array.of(1) },
    ]);
    expect(batch.tokenIds).toEqual(Uint32Array.of(7, 8, 9, 1));
    expect(batch.positions).toEqual(Uint32Array.of(0, 1, 2, 4));
    expect(batch.sequences.map(({ firstRow, rowCount }) => [firstRow, rowCount])).toEqual([
      [0, 3],
      [3, 1],
    ]);
  });

  it.each([10, -1, 1.5, Number.NaN])('refuses the token id %d', (id) => {
    expect(() => layOut([{ cache: cacheOf(2), tokenIds: [3, id] }])).toThrow(
      expect.objectContaining({
        code: 'TOKEN_OUT_OF_RANGE',
        message: `token 3 of sequence 0 is ${id}; expected a whole number of 0 to 9; use the model's own tokenizer`,
      }),
    );
  });

  it('refuses what does not fit behind the cache', () => {
    expect(() => layOut([{ cache: cacheOf(5), tokenIds: [1] }])).not.toThrow();
    expect(() => layOut([{ cache: cacheOf(5), tokenIds: [1, 2] }])).toThrow(
      expect.objectContaining({
        code: 'CONTEXT_TOO_LONG',
        message: expect.stringContaining('would have 7 tokens; expected at most max_sequence_length, 6;'),
      }),
    );
  });

  it('refuses two sequences with one cache as a defect', () => {
    const cache = cacheOf(0);
    expect(() =>
      layOut([
        { cache, tokenIds: [1] },
        { cache, tokenIds: [2] },
      ]),
    ).toThrow('a cache of its own');
  });
});

it('a cache keeps what it holds when it grows, and at least doubles', () => {
  const cache = createKvCache(config);
  const first = reserve(cache, 0, 3, 2).keys;
  first.set([1, 2, 3, 4, 5, 6]);
  expect(reserve(cache, 0, first.length / 2, 2).keys).toBe(first);
  const second = reserve(cache, 0, first.length / 2 + 1, 2).keys;
  expect(second.length).toBe(2 * first.length);
  expect([...second.subarray(0, 6)]).toEqual([1, 2, 3, 4, 5, 6]);
});
