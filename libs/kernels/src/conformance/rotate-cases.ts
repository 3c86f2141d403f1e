import type { RopeTable } from '../dense.ts';
import { type ConformanceCase, expectAssertion, expectSame } from './checks.ts';
import { inside, normals } from './inputs.ts';

const SIZES = [
  { heads: 1, headWidth: 2, positions: [0] },
  { heads: 3, headWidth: 10, positions: [4, 0, 4, 1] },
  { heads: 2, headWidth: 64, positions: [3] },
  // As large as what native kernels share out among threads.
  { heads: 8, headWidth: 72, positions: Array.from({ length: 90 }, (_, row) => row % 5) },
  { heads: 2, headWidth: 8, positions: [] },
];

export function rotateCases(): ConformanceCase[] {
  return [
    ...SIZES.map(
      ({ heads, headWidth, positions }): ConformanceCase => ({
        name: `rotate: ${positions.length} rows of ${heads} heads of ${headWidth}`,
        run: async (kernels) => {
          const rope = tableOf(5, headWidth);
          const x = normals(2, positions.length * heads * headWidth);
          const got = inside(x);
          await kernels.rotate(rope, got, Uint32Array.from(positions));
          expectSame('the rotated heads', got, naive(rope, x, positions));
        },
      }),
    ),
    {
      name: 'rotate: a position beyond the table, or half a head, is an assertion',
      run: async (kernels) => {
        const rope = tableOf(5, 8);
        await expectAssertion(() => kernels.rotate(rope, normals(1, 8), Uint32Array.of(5)));
        await expectAssertion(() => kernels.rotate(rope, normals(1, 12), Uint32Array.of(0)));
        await expectAssertion(() => kernels.rotate(rope, normals(1, 8), new Uint32Array(0)));
      },
    },
  ];
}

function tableOf(positionCount: number, headWidth: number): RopeTable {
  const count = (positionCount * headWidth) / 2;
  return { headWidth, cos: normals(3, count), sin: normals(4, count) };
}

/** SEMANTICS 2.2 step 4, feature by feature. */
function naive(
  { headWidth, cos, sin }: RopeTable,
  x: Float32Array,
  positions: readonly number[],
): Float32Array {
  const half = headWidth / 2;
  const rowWidth = x.length / positions.length;
  return x.map((value, at) => {
    const j = at % headWidth;
    const angle = (positions[Math.floor(at / rowWidth)] ?? 0) * half + (j % half);
    return j < half
      ? value * cos[angle] - x[at + half] * sin[angle]
      : value * cos[angle] + x[at - half] * sin[angle];
  });
}
