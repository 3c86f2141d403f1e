import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createRopeTable, rotate } from './rope.ts';

const table = createRopeTable(40, 8, 100);
const vector = fc.float32Array({ minLength: 8, maxLength: 8, min: -4, max: 4, noNaN: true });

function rotated(x: Float32Array, position: number): Float32Array {
  const y = x.slice();
  rotate(table, y, 0, position, 1, 8);
  return y;
}

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i], 0);

it('makes products depend on the distance of two positions only', () => {
  const position = fc.integer({ min: 0, max: 19 });
  fc.assert(
    fc.property(vector, vector, position, position, position, (q, k, a, b, shift) => {
      expect(dot(rotated(q, a + shift), rotated(k, b + shift))).toBeCloseTo(
        dot(rotated(q, a), rotated(k, b)),
        3,
      );
    }),
  );
});

it('leaves position 0 as it is, and pairs feature j with j + half', () => {
  const x = Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0);
  expect(rotated(x, 0)).toEqual(x);
  const y = rotated(x, 1);
  expect(y[0]).toBeCloseTo(Math.cos(1), 6);
  expect(y[4]).toBeCloseTo(Math.sin(1), 6);
});
