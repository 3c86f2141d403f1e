import { expect, it } from 'vitest';
import { naiveGelu } from './conformance/naive-pool.ts';
import { erf, gateWeights, gelu } from './gate-weights.ts';

it.each([
  [0, 0],
  [0.5, 0.5204998778130465],
  [1, 0.8427007929497149],
  [2.4, 0.9993114861033549],
  [2.5, 0.999593047982555],
  [4, 0.9999999845827421],
  [7, 1],
  [-1, -0.8427007929497149],
])('erf(%d) is the tabulated %d', (x, want) => {
  expect(erf(x)).toBeCloseTo(want, 14);
});

it('computes gelu like an integral of the normal density', () => {
  for (let x = -6; x <= 6; x += 0.37) expect(gelu(x)).toBeCloseTo(naiveGelu(x), 11);
});

it('weighs every core of an entry with the same rounded gate', () => {
  const dots = Float64Array.of(0.1, -2);
  const scores = Float32Array.of(3, -1, 0.5, 0);
  expect(gateWeights(dots, scores, 2, false)).toEqual(
    Float32Array.of(Math.fround(0.1) * 3, -Math.fround(0.1), -1, -0),
  );
  // Unrounded, this dot product would give the next f32.
  const score = Float32Array.of(1.3);
  const [weight] = gateWeights(Float64Array.of(1 / 7), score, 1, false);
  expect(weight).toBe(Math.fround(Math.fround(1 / 7) * score[0]));
  expect(weight).not.toBe(Math.fround((1 / 7) * score[0]));
  const gate = Math.fround(gelu(Math.fround(0.1)));
  expect(gateWeights(dots, scores, 2, true).slice(0, 2)).toEqual(Float32Array.of(gate * 3, -gate));
});
