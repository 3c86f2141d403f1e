import { type ConformanceCase, expectSame } from './checks.ts';
import { normals } from './inputs.ts';

export function addIntoCases(): ConformanceCase[] {
  return [
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
