import { expect, it } from 'vitest';
import { doubtBelow, isDoubtful, spanOf } from './span.ts';

it('spanOf leaves zeros out, goes on from what is known, and takes what is not finite for infinite', () => {
  expect(spanOf(Float32Array.of(0, -0))).toEqual({ smallest: Number.POSITIVE_INFINITY, largest: 0 });
  const some = spanOf(Float32Array.of(0, -4, 0.5));
  expect(some).toEqual({ smallest: 0.5, largest: 4 });
  expect(spanOf(Float32Array.of(0.25, 8), some)).toEqual({ smallest: 0.25, largest: 8 });
  for (const odd of [Number.NaN, Number.NEGATIVE_INFINITY])
    expect(spanOf(Float32Array.of(odd, 1)).largest).toBe(Number.POSITIVE_INFINITY);
});

const usual = { smallest: 1e-9, largest: 10 };

it('doubtBelow trusts usual numbers, and zeros', () => {
  expect(doubtBelow(usual, usual, 1_000)).toBe(0);
  expect(doubtBelow(usual, spanOf(new Float32Array(3)), 1_000)).toBe(0);
});

it('doubtBelow trusts nothing where a sum could overflow', () => {
  expect(doubtBelow({ smallest: 1, largest: 1e38 }, usual, 1)).toBe(Number.POSITIVE_INFINITY);
  expect(doubtBelow({ smallest: 1, largest: 1e37 }, { smallest: 1, largest: 1 }, 100)).toBe(
    Number.POSITIVE_INFINITY,
  );
  expect(doubtBelow(spanOf(Float32Array.of(Number.NaN)), usual, 1)).toBe(Number.POSITIVE_INFINITY);
});

it.each([
  [{ smallest: 1e-42, largest: 10 }, usual],
  [usual, { smallest: 1e-30, largest: 1 }],
  [
    { smallest: 1e-20, largest: 1 },
    { smallest: 1e-20, largest: 1 },
  ],
])('doubtBelow is a million times what flushed terms could add up to', (a, b) => {
  const terms = 100;
  const flushed = terms * 2 ** -126 * Math.max(1, a.largest, b.largest);
  const doubt = doubtBelow(a, b, terms);
  expect(doubt).toBeGreaterThanOrEqual(1e6 * flushed);
  expect(doubt).toBeLessThan(1e-25);
  expect([isDoubtful(doubt, doubt), isDoubtful(-doubt / 2, doubt), isDoubtful(0, doubt)]).toEqual([
    false,
    true,
    true,
  ]);
});

it('isDoubtful takes everything that is not finite', () => {
  expect([1, Number.NaN, Number.POSITIVE_INFINITY].map((x) => isDoubtful(x, 1e-9))).toEqual([
    false,
    true,
    true,
  ]);
});
