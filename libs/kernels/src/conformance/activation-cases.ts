import { gelu } from '../gate-weights.ts';
import { type ConformanceCase, expectClose, expectSame } from './checks.ts';
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
    {
      name: 'addInto: sums rounded once, in place',
      run: async (kernels) => {
        const edges = [0, -0, 1e-42, -1e-42, 1, 2 ** 24, 3e38, -3e38, Number.POSITIVE_INFINITY, Number.NaN];
        const addend = Float32Array.of(...edges, ...edges.map((edge) => -edge), ...normals(43, 40_000, 3));
        const start = Float32Array.of(...edges, ...edges, ...normals(44, 40_000, 1));
        for (const count of [0, 1, 15, 20, addend.length]) {
          // A view that begins in the middle, whose neighbours stay.
          const memory = new Float32Array(count + 2).fill(7);
          memory.set(start.subarray(0, count), 1);
          await kernels.addInto(memory.subarray(1, 1 + count), addend.subarray(0, count));
          const want = start.subarray(0, count).map((value, i) => value + addend[i]);
          expectSame('the sum', memory, Float32Array.of(7, ...want, 7));
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
