import type { Norm } from '../kernels.ts';

/**
 * Normalises each row over its last axis (SEMANTICS 1.1): statistics in f64, the bracket rounded to f32 before the weight.
 *
 * @param x `[rows, width]`, left as it is
 */
export function normalise(norm: Norm, x: Float32Array, width: number): Float32Array {
  const { weight, bias } = norm;
  const result = new Float32Array(x.length);
  for (let row = 0; row < x.length; row += width) {
    const mean = norm.kind === 'layer' ? sum(x, row, width) / width : 0;
    let squares = 0;
    for (let i = 0; i < width; i++) squares += (x[row + i] - mean) ** 2;
    const scale = 1 / Math.sqrt(squares / width + norm.eps);
    for (let i = 0; i < width; i++) {
      const bracket = Math.fround((x[row + i] - mean) * scale);
      result[row + i] = bracket * (weight === null ? 1 : weight[i]) + (bias === null ? 0 : bias[i]);
    }
  }
  return result;
}

function sum(x: Float32Array, start: number, count: number): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += x[start + i];
  return total;
}
