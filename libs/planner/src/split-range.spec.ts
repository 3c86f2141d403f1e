import { AssertionError } from '@ultramem/invariant';
import { rangeLength } from '@ultramem/ultramem';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitByWeight } from './split-range.ts';

function lengths(length: number, weights: number[]): number[] {
  return splitByWeight(length, weights).map(rangeLength);
}

describe('splitByWeight', () => {
  it('gives 2:1:1 to memory 2:1:1', () => {
    expect(splitByWeight(400, [2, 1, 1])).toEqual([
      { start: 0, end: 200 },
      { start: 200, end: 300 },
      { start: 300, end: 400 },
    ]);
  });

  it('gives what is left to the largest remainders, the earlier of equals', () => {
    expect(lengths(10, [1, 1, 1])).toEqual([4, 3, 3]);
    expect(lengths(10, [3.4, 3.4, 3.2])).toEqual([4, 3, 3]);
    expect(lengths(10, [2.3, 2.9, 4.8])).toEqual([2, 3, 5]);
  });

  it('leaves no part empty', () => {
    expect(lengths(5, [1000, 1, 1])).toEqual([3, 1, 1]);
    expect(lengths(3, [1e12, 1, 1e6])).toEqual([1, 1, 1]);
  });

  it('covers exactly, with no empty part, and within one of proportional where nothing had to be raised', () => {
    const weights = fc.array(fc.double({ min: 1, max: 2 ** 45, noNaN: true }), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(weights, fc.integer({ min: 40, max: 2 ** 32 }), (parts, length) => {
        const ranges = splitByWeight(length, parts);
        expect(ranges.map((range) => range.start)).toEqual([
          0,
          ...ranges.slice(0, -1).map((range) => range.end),
        ]);
        expect(ranges.at(-1)?.end).toBe(length);
        expect(Math.min(...ranges.map(rangeLength))).toBeGreaterThanOrEqual(1);
        const total = parts.reduce((sum, weight) => sum + weight, 0);
        const quotas = parts.map((weight) => (length * weight) / total);
        if (Math.min(...quotas) < 1) return;
        for (const [part, range] of ranges.entries())
          expect(Math.abs(rangeLength(range) - (quotas[part] ?? 0))).toBeLessThan(1.00001);
      }),
    );
  });

  it('asserts what its callers have checked', () => {
    expect(() => splitByWeight(2, [1, 1, 1])).toThrow(AssertionError);
    expect(() => splitByWeight(2, [])).toThrow(AssertionError);
    expect(() => splitByWeight(2, [1, 0])).toThrow(AssertionError);
    expect(() => splitByWeight(2, [1, Number.NaN])).toThrow(AssertionError);
  });
});
