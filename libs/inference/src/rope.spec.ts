import { createReferenceKernels } from '@ultramem/kernels';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createRopeTable } from './rope.ts';

const table = createRopeTable(40, 8, 100);
const vector = fc.float32Array({ minLength: 8, maxLength: 8, min: -4, max: 4, noNaN: true });

const kernels = createReferenceKernels();

async function rotated(x: Float32Array, position: number): Promise<Float32Array> {
  const y = x.slice();
  await kernels.rotate(table, y, Uint32Array.of(position));
  return y;
}

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i], 0);

it('makes products depend on the distance of two positions only', async () => {
  const position = fc.integer({ min: 0, max: 19 });
  await fc.assert(
    fc.asyncProperty(vector, vector, position, position, position, async (q, k, a, b, shift) => {
      const moved = dot(await rotated(q, a + shift), await rotated(k, b + shift));
      expect(moved).toBeCloseTo(dot(await rotated(q, a), await rotated(k, b)), 3);
    }),
  );
});

it('leaves position 0 as it is, and pairs feature j with j + half', async () => {
  const x = Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0);
  expect(await rotated(x, 0)).toEqual(x);
  const y = await rotated(x, 1);
  expect(y[0]).toBeCloseTo(Math.cos(1), 6);
  expect(y[4]).toBeCloseTo(Math.sin(1), 6);
});
