import { expect, it } from 'vitest';
import { quantile, ratioOf, spreadOf } from './statistics.ts';

it('takes quantiles between the nearest samples, in whatever order they come', () => {
  expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
  expect(quantile([10, 2, 33], 0)).toBe(2);
  expect(quantile([10, 2, 33], 1)).toBe(33);
  expect(quantile([0, 10], 0.1)).toBeCloseTo(1);
  expect(quantile([7], 0.99)).toBe(7);
  expect(() => quantile([], 0.5)).toThrow('no samples have no quantile');
});

it('leaves the samples as they are', () => {
  const samples = [3, 1, 2];
  expect(spreadOf(samples)).toEqual({ median: 2, p10: 1.2, p90: 2.8 });
  expect(samples).toEqual([3, 1, 2]);
});

it('compares medians of all samples, and shows how the rounds spread', () => {
  const ours = [[1, 1, 1], [1, 1, 100], [2]];
  const theirs = [[10, 10], [30, 10, 20], [20]];
  const ratio = ratioOf(ours, theirs);
  expect(ratio.median).toBe(15);
  expect(ratio.p10).toBeCloseTo(10);
  expect(ratio.p90).toBeCloseTo(18);
});
