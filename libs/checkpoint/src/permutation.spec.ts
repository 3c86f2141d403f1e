import { createRandom } from '@ultramem/environment';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { permutation } from './permutation.ts';

it('takes every value once', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), fc.nat(), (length, seed) => {
      const random = createRandom(seed);
      const imageOf = permutation(length, () => random.uint32());
      const images = new Set(Array.from({ length }, (_, i) => imageOf(i)));
      expect(images.size).toBe(length);
      expect(Math.max(...images)).toBe(length - 1);
    }),
  );
});

it('mixes: neighbours go apart, and seeds differ', () => {
  const images = [1, 2].map((seed) => {
    const random = createRandom(seed);
    const imageOf = permutation(100_000, () => random.uint32());
    return Array.from({ length: 100_000 }, (_, i) => imageOf(i));
  });
  const [first, second] = images as [number[], number[]];
  expect(first.filter((image, i) => image === second[i]).length).toBeLessThan(20);
  const steps = first.slice(1).map((image, i) => Math.abs(image - first[i]));
  const meanStep = steps.reduce((sum, step) => sum + step, 0) / steps.length;
  expect(meanStep).toBeGreaterThan(32_000); // a third of the length for independent values
  expect(meanStep).toBeLessThan(34_700);
});

it('works beyond 2^32', () => {
  const random = createRandom(7);
  const imageOf = permutation(2 ** 40, () => random.uint32());
  const images = Array.from({ length: 1000 }, (_, i) => imageOf(2 ** 39 + i));
  expect(new Set(images).size).toBe(1000);
  expect(images.every((image) => Number.isInteger(image) && image >= 0 && image < 2 ** 40)).toBe(true);
  expect(images.some((image) => image > 2 ** 32)).toBe(true);
});
