import { createRandom } from '@ultramem/environment';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { permutation } from './permutation.ts';

it('takes every value once', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), fc.nat(), (length, seed) => {
      const random = createRandom(seed);
      const fillImages = permutation(length, () => random.uint32());
      const filled = new Float64Array(length);
      fillImages(0, filled);
      const images = new Set(filled);
      expect(images.size).toBe(length);
      expect(Math.max(...images)).toBe(length - 1);
    }),
  );
});

it('mixes: neighbours go apart, and seeds differ', () => {
  const images = [1, 2].map((seed) => {
    const random = createRandom(seed);
    const images = new Float64Array(100_000);
    permutation(images.length, () => random.uint32())(0, images);
    return [...images];
  });
  const [first, second] = images as [number[], number[]];
  expect(first.filter((image, i) => image === second[i]).length).toBeLessThan(20);
  const steps = first.slice(1).map((image, i) => Math.abs(image - first[i]));
  const meanStep = steps.reduce((sum, step) => sum + step, 0) / steps.length;
  expect(meanStep).toBeGreaterThan(32_000); // a third of the length for independent values
  expect(meanStep).toBeLessThan(34_700);
});

it('is the same whatever its stretches', () => {
  const fillImages = permutation(1000, createRandom(3).uint32);
  const whole = new Float64Array(1000);
  fillImages(0, whole);
  const stretches = new Float64Array(1000);
  for (const [from, to] of [
    [700, 1000],
    [0, 31],
    [31, 700],
  ])
    fillImages(from!, stretches.subarray(from, to));
  expect(stretches).toEqual(whole);
});

it('works beyond 2^32', () => {
  const random = createRandom(7);
  const filled = new Float64Array(1000);
  permutation(2 ** 40, () => random.uint32())(2 ** 39, filled);
  const images = [...filled];
  expect(new Set(images).size).toBe(1000);
  expect(images.every((image) => Number.isInteger(image) && image >= 0 && image < 2 ** 40)).toBe(true);
  expect(images.some((image) => image > 2 ** 32)).toBe(true);
});
