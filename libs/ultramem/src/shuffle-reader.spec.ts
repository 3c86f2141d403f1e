import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyShuffle, ShuffleReader } from './shuffle-reader.ts';
import type { ShuffleIndex } from './value-index.ts';

const ROOMS: [string, (length: number) => ShuffleIndex][] = [
  ['32 bits an entry', (length) => new Uint32Array(length)],
  ['more than 32 bits an entry', (length) => new Float64Array(length)],
];

describe.each(ROOMS)('ShuffleReader, %s', (_, room) => {
  function read(stored: BigInt64Array, cuts: readonly number[] = []): ShuffleIndex {
    const reader = new ShuffleReader('s', room(stored.length));
    let at = 0;
    for (const cut of [...cuts, stored.length].sort((a, b) => a - b)) {
      reader.take(stored.subarray(at, cut));
      at = cut;
    }
    return reader.finish();
  }

  it('takes a permutation however it is cut, and finds the first entry that spoils it', () => {
    const arbitrary = fc.integer({ min: 1, max: 150 }).chain((length) =>
      fc.record({
        order: fc.shuffledSubarray(
          Array.from({ length }, (_, i) => BigInt(i)),
          { minLength: length },
        ),
        cuts: fc.array(fc.nat(length), { maxLength: 3 }),
        spoilt: fc.array(fc.tuple(fc.nat(length - 1), spoiler(length)), { maxLength: 2 }),
      }),
    );
    fc.assert(
      fc.property(arbitrary, ({ order, cuts, spoilt }) => {
        const stored = BigInt64Array.from(order);
        for (const [at, value] of spoilt) stored[at] = value;
        const wrong = firstWrong(stored);
        if (wrong === null) expect([...read(stored, cuts)]).toEqual([...stored].map(Number));
        else expect(() => read(stored, cuts)).toThrow(wrong);
      }),
    );
  });

  it.each([
    [5, 6n, 's[6] is 6, which occurs twice; expected a permutation of 0 to 143; export the checkpoint again'],
    [7, 144n, 's[7] is 144; expected a permutation of 0 to 143; export the checkpoint again'],
    [0, -1n, 's[0] is -1; expected'],
    [9, 2n ** 32n + 9n, 's[9] is 4294967305; expected'],
    [143, -(2n ** 32n) + 143n, 's[143] is -4294967153; expected'],
    [3, 2n ** 31n, 's[3] is 2147483648; expected'],
    [3, 2n ** 62n, 's[3] is 4611686018427388000; expected'],
  ])('refuses entry %i = %i', (at, value, reason) => {
    const stored = identity(144);
    stored[at] = value;
    expect(() => read(stored)).toThrow(expect.objectContaining({ code: 'CHECKPOINT_INVALID' }));
    expect(() => read(stored)).toThrow(reason);
    expect(() => read(stored, [at, at + 1])).toThrow(reason);
  });

  it('names a repetition that comes before an entry of too many bits', () => {
    const stored = identity(144);
    stored[20] = 19n;
    stored[90] = 2n ** 40n;
    expect(() => read(stored, [50])).toThrow('s[20] is 19, which occurs twice');
  });

  it('takes and refuses what spreads over several buckets', () => {
    const length = 2 ** 21 + 5;
    const stored = identity(length).reverse();
    const cuts = [2 ** 20, 2 ** 20 + 1, 2 ** 21 - 3];
    const shuffle = read(stored, cuts);
    expect(shuffle.findIndex((target, i) => target !== length - 1 - i)).toBe(-1);
    stored[2 ** 20] = stored[3];
    expect(() => read(stored, cuts)).toThrow(`s[${2 ** 20}] is ${length - 4}, which occurs twice`);
  });

  it('asserts that all was taken and no more', () => {
    const reader = new ShuffleReader('s', room(3));
    reader.take(identity(2));
    expect(() => reader.finish()).toThrow('all of the shuffle was taken');
    expect(() => reader.take(identity(2))).toThrow('the shape of the shuffle was checked');
  });
});

it('has 32 bits an entry where they are enough', () => {
  expect(emptyShuffle(7)).toEqual(new Uint32Array(7));
});

function identity(length: number): BigInt64Array {
  return new BigInt64Array(length).map((_, i) => BigInt(i));
}

/** A repetition most of the time, else something outside. */
function spoiler(length: number): fc.Arbitrary<bigint> {
  return fc.oneof(
    fc.bigInt({ min: 0n, max: BigInt(length - 1) }),
    fc.bigInt({ min: BigInt(length), max: BigInt(length + 40) }),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.nat(length - 1).map((low) => 2n ** 32n + BigInt(low)),
  );
}

/** The obvious way. */
function firstWrong(stored: BigInt64Array): string | null {
  const seen = new Set<bigint>();
  for (const [i, target] of stored.entries()) {
    if (target < 0n || target >= stored.length) return `s[${i}] is ${Number(target)}; expected`;
    if (seen.has(target)) return `s[${i}] is ${target}, which occurs twice`;
    seen.add(target);
  }
  return null;
}
