import { bf16ToF32, FLOAT_DTYPES, f32ToBf16 } from '@ultramem/checkpoint';
import { type ConformanceCase, expectAssertion, expectClose, expectSame } from './checks.ts';
import { inside, normals, table } from './inputs.ts';
import { naiveMatmul } from './naive-dense.ts';

const MATMUL_SIZES = [
  { rows: 1, columns: 1, rowCount: 1, bias: false },
  { rows: 7, columns: 5, rowCount: 3, bias: true },
  { rows: 33, columns: 66, rowCount: 1, bias: false },
  { rows: 130, columns: 257, rowCount: 9, bias: true },
  // As large as what native kernels give to matrix units.
  { rows: 660, columns: 401, rowCount: 3, bias: true },
  { rows: 12, columns: 16, rowCount: 0, bias: true },
];

export function matmulCases(): ConformanceCase[] {
  return [
    ...MATMUL_SIZES.flatMap((size) =>
      FLOAT_DTYPES.map(
        (dtype) =>
          ({
            name: `matmul: ${size.rowCount} rows by a ${dtype} weight [${size.rows}, ${size.columns}]${size.bias ? ' with bias' : ''}`,
            run: async (kernels) => {
              const { rows, columns, rowCount } = size;
              const { source, stored } = table(dtype, [rows, columns], normals(1, rows * columns));
              const x = normals(2, rowCount * columns);
              const bias = size.bias ? normals(3, rows) : null;
              const weight = await kernels.loadMatrix(source);
              const got = await kernels.matmul(weight, inside(x), rowCount, bias && inside(bias));
              expectClose('the product', got, naiveMatmul(stored, x, size, bias));
            },
          }) satisfies ConformanceCase,
      ),
    ),
    {
      name: 'matmul: huge weights, and overflow to infinity',
      run: async (kernels) => {
        const { source, stored } = table(
          'F32',
          [3, 2],
          Float32Array.of(1e38, 1e38, 3e38, 3e38, -3e38, -3e38),
        );
        const x = Float32Array.of(1, 1);
        const got = await kernels.matmul(await kernels.loadMatrix(source), x, 1, null);
        expectClose('the product', got, naiveMatmul(stored, x, { rows: 3, columns: 2, rowCount: 1 }, null));
      },
    },
    {
      name: 'matmul: denormal weights count',
      run: async (kernels) => {
        const { source, stored } = table('F32', [1, 3], Float32Array.of(1e-39, -3e-40, 1e-45));
        const x = Float32Array.of(1e38, 2e38, 3e38);
        const got = await kernels.matmul(await kernels.loadMatrix(source), x, 1, null);
        expectClose('the product', got, naiveMatmul(stored, x, { rows: 1, columns: 3, rowCount: 1 }, null));
      },
    },
    {
      name: 'matmul: x that does not fit the weight, or a released weight, is an assertion',
      run: async (kernels) => {
        const weight = await kernels.loadMatrix(table('F32', [2, 3], normals(6, 6)).source);
        await expectAssertion(() => kernels.matmul(weight, new Float32Array(5), 2, null));
        await expectAssertion(() => kernels.matmul(weight, new Float32Array(6), 2, new Float32Array(3)));
        weight.release();
        await expectAssertion(() => kernels.matmul(weight, new Float32Array(3), 1, null));
      },
    },
  ];
}

/** Activations in BF16, and rows alone and in batches. */
export function roundedMatmulCases(): ConformanceCase[] {
  return [
    ...(['F32', 'BF16'] as const).map(
      (activations) =>
        ({
          name: `matmul: a row has the same bits alone and in any batch, activations in ${activations}`,
          run: async (kernels) => {
            const [rows, columns, rowCount] = [50, 131, 21];
            const { source } = table(activations, [rows, columns], normals(4, rows * columns));
            const weight = await kernels.loadMatrix(source, activations);
            const x = normals(5, rowCount * columns);
            const together = await kernels.matmul(weight, x, rowCount, null);
            for (let row = 0; row < rowCount; row++)
              expectSame(
                `row ${row} alone`,
                await kernels.matmul(weight, x.slice(row * columns, (row + 1) * columns), 1, null),
                together.slice(row * rows, (row + 1) * rows),
              );
          },
        }) satisfies ConformanceCase,
    ),
    ...MATMUL_SIZES.flatMap((size) =>
      FLOAT_DTYPES.map(
        (dtype) =>
          ({
            name: `matmul: ${size.rowCount} rows rounded to BF16 by a ${dtype} weight [${size.rows}, ${size.columns}]`,
            run: async (kernels) => {
              const { rows, columns, rowCount } = size;
              const { source, stored } = table(dtype, [rows, columns], normals(1, rows * columns));
              const x = normals(2, rowCount * columns);
              // Halves between two bf16, of which the even one is taken.
              x.set([1 + 2 ** -8, 1 + 3 * 2 ** -8].slice(0, x.length));
              const bias = size.bias ? normals(3, rows) : null;
              const weight = await kernels.loadMatrix(source, 'BF16');
              const got = await kernels.matmul(weight, inside(x), rowCount, bias && inside(bias));
              const rounded = Float32Array.from(x, (value) => bf16ToF32(f32ToBf16(value)));
              expectClose('the product', got, naiveMatmul(stored, rounded, size, bias));
            },
          }) satisfies ConformanceCase,
      ),
    ),
    {
      name: 'matmul: activations in BF16 of any size count, denormal and infinite ones too',
      run: async (kernels) => {
        const huge = [3e38, 3.4e38, Number.POSITIVE_INFINITY];
        const x = Float32Array.of(1e-39, 3e-40, 2e-30, 1e-20, ...huge);
        const rounded = Float32Array.from(x, (value) => bf16ToF32(f32ToBf16(value)));
        const { source, stored } = table('BF16', [3, 1], Float32Array.of(1e-39, 1e30, 1));
        const got = await kernels.matmul(await kernels.loadMatrix(source, 'BF16'), x, x.length, null);
        const size = { rows: 3, columns: 1, rowCount: x.length };
        expectClose('the product', got, naiveMatmul(stored, rounded, size, null));
      },
    },
  ];
}
