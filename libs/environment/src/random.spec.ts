import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRandom, type Random } from './random.ts';

const take = (count: number, draw: () => number) => Array.from({ length: count }, draw);
const seeds = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

/** xoshiro128** in whole numbers without a width, seeded as the library says; slow and obvious. */
function* plainXoshiro(seed: number): Generator<number> {
  const mask = 0xffffffffn;
  const rotate = (x: bigint, bits: bigint) => ((x << bits) | (x >> (32n - bits))) & mask;
  let s = BigInt(seed);
  const state = [0, 1, 2, 3].map(() => {
    s = (s + 0x9e3779b9n) & mask;
    let z = ((s ^ (s >> 16n)) * 0x85ebca6bn) & mask;
    z = ((z ^ (z >> 13n)) * 0xc2b2ae35n) & mask;
    return z ^ (z >> 16n);
  });
  for (;;) {
    yield Number((rotate((state[1] * 5n) & mask, 7n) * 9n) & mask);
    const t = (state[1] << 9n) & mask;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= t;
    state[3] = rotate(state[3], 11n);
  }
}

describe('createRandom', () => {
  it('is xoshiro128**', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 32 - 1 }), (seed) => {
        const plain = plainXoshiro(seed);
        expect(take(20, createRandom(seed).uint32)).toEqual(take(20, () => plain.next().value));
      }),
    );
  });

  it('gives the same numbers for the same seed', () => {
    const all = ({ uint32, unit, normal }: Random) => [uint32(), unit(), normal(), uint32()];
    fc.assert(
      fc.property(seeds, (seed) => {
        expect(all(createRandom(seed))).toEqual(all(createRandom(seed)));
      }),
    );
  });

  it('gives others for the neighbour, and for seeds that differ above 32 bits only', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 52 }), (seed) => {
        const numbers = take(4, createRandom(seed).uint32);
        expect(take(4, createRandom(seed + 1).uint32)).not.toEqual(numbers);
        expect(take(4, createRandom(seed + 2 ** 32).uint32)).not.toEqual(numbers);
      }),
    );
  });

  it('stays in its ranges, in steps of 2^-53', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const random = createRandom(seed);
        for (let i = 0; i < 50; i++) {
          const whole = random.uint32();
          expect(Number.isInteger(whole) && whole >= 0 && whole < 2 ** 32).toBe(true);
          const unit = random.unit();
          expect(unit >= 0 && unit < 1 && Number.isInteger(unit * 2 ** 53)).toBe(true);
          expect(Number.isFinite(random.normal())).toBe(true);
        }
      }),
    );
  });

  it('is uniform and normal as it says', () => {
    const random = createRandom(1);
    const count = 20_000;
    const tenths = new Array<number>(10).fill(0);
    for (const unit of take(count, random.unit)) tenths[Math.floor(10 * unit)]++;
    for (const hits of tenths) expect(Math.abs(hits / count - 0.1)).toBeLessThan(0.01);
    const normals = take(count, random.normal);
    const mean = (numbers: number[]) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
    expect(Math.abs(mean(normals))).toBeLessThan(0.03);
    expect(Math.abs(mean(normals.map((number) => number ** 2)) - 1)).toBeLessThan(0.05);
    expect(Math.abs(mean(normals.map((number) => number ** 4)) - 3)).toBeLessThan(0.3);
  });
});
