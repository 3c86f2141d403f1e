import type { Norm } from '../kernels.ts';
import { type ConformanceCase, expectClose, expectSame, type Truth } from './checks.ts';
import { normals } from './inputs.ts';

export function normaliseCases(): ConformanceCase[] {
  return (['rms', 'layer'] as const).map((kind) => ({
    name: `normalise: ${kind}, rows of any width, with and without weight and bias`,
    run: async (kernels) => {
      for (const [rows, width] of [
        [0, 5],
        [1, 1],
        [3, 7],
        [2, 8],
        [5, 130],
        [400, 100],
      ])
        for (const [hasWeight, hasBias] of [
          [false, false],
          [true, false],
          [true, true],
        ]) {
          const norm: Norm = {
            kind,
            eps: 1e-5,
            weight: hasWeight ? normals(51, width, 2) : null,
            bias: hasBias ? normals(52, width, 2) : null,
          };
          // Rows that are large, small, and nothing but eps.
          const x = normals(53, rows * width, 1).map(
            (value, i) => value * [1, 1e15, 1e-30, 0][Math.floor(i / width) % 4],
          );
          const before = x.slice();
          expectClose('the result', await kernels.normalise(norm, x, width), naive(norm, x, width));
          expectSame('the input', x, before);
        }
    },
  }));
}

function naive({ kind, eps, weight, bias }: Norm, x: Float32Array, width: number): Truth {
  const value = new Float64Array(x.length);
  const magnitude = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += width) {
    const values = Array.from(x.subarray(row, row + width));
    const mean = kind === 'layer' ? values.reduce((sum, v) => sum + v, 0) / width : 0;
    const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / width;
    for (const [i, v] of values.entries()) {
      const factor = (weight?.[i] ?? 1) / Math.sqrt(squares + eps);
      value[row + i] = (v - mean) * factor + (bias?.[i] ?? 0);
      magnitude[row + i] = (Math.abs(v) + Math.abs(mean)) * Math.abs(factor) + Math.abs(bias?.[i] ?? 0);
    }
  }
  return { value, magnitude };
}
