import { expect, it } from 'vitest';
import { mergeDots } from './merge-dots.ts';

it('adds the parts of every entry in f64, in the order given', () => {
  expect(mergeDots([Float64Array.of(1, 1e16), Float64Array.of(2, 1), Float64Array.of(3, -1e16)])).toEqual(
    Float64Array.of(6, 1e16 + 1 - 1e16),
  );
});

it('keeps one part as it is, and does not write into it', () => {
  const part = Float64Array.of(0.1, 0.2);
  expect(mergeDots([part])).toEqual(part);
  mergeDots([part, Float64Array.of(1, 1)]);
  expect(part).toEqual(Float64Array.of(0.1, 0.2));
});
