import { gelu } from '../gate-weights.ts';
import { type ConformanceCase, expectClose } from './checks.ts';
import { normals } from './inputs.ts';

export function activationCases(): ConformanceCase[] {
  const x = Float32Array.of(0, -0, 1e-42, 1, -1, 30, -30, 200, -200, 3e38, ...normals(41, 150, 3));
  return [
    elementwise('relu', x, (z) => Math.max(0, z)),
    elementwise('gelu', x, gelu),
    {
      name: 'activate: swiglu, whose second half is the gate',
      run: async (kernels) => {
        for (const [rows, width] of [
          [0, 6],
          [1, 2],
          [7, 66],
        ]) {
          const input = normals(42, rows * width, 4);
          const half = width / 2;
          const want = new Float64Array(rows * half);
          for (let row = 0; row < rows; row++)
            for (let i = 0; i < half; i++) {
              const gate = input[row * width + half + i];
              want[row * half + i] = (input[row * width + i] * gate) / (1 + Math.exp(-gate));
            }
          const got = await kernels.activate('swiglu', input.slice(), width);
          expectClose('the result', got, { value: want, magnitude: want.map(Math.abs) });
        }
      },
    },
  ];
}

function elementwise(
  kind: 'relu' | 'gelu',
  x: Float32Array,
  activation: (z: number) => number,
): ConformanceCase {
  return {
    name: `activate: ${kind}`,
    run: async (kernels) => {
      const got = await kernels.activate(kind, x.slice(), 10);
      const value = Float64Array.from(x, activation);
      // Close to nothing left of the input is lost to rounding.
      const magnitude = Float64Array.from(
        x,
        (z) => Math.abs(activation(z)) + 1e-2 * Math.min(Math.abs(z), 10),
      );
      expectClose('the result', got, { value, magnitude });
    },
  };
}
