import { FLOAT_DTYPES } from '@ultramem/checkpoint';
import type { AttendRequest } from '../kernels.ts';
import { type ConformanceCase, expectAssertion, expectClose, expectSame } from './checks.ts';
import { inside, normals, table } from './inputs.ts';
import { naiveAttend, naiveMatmul } from './naive-dense.ts';

const MATMUL_SIZES = [
  { rows: 1, columns: 1, rowCount: 1, bias: false },
  { rows: 7, columns: 5, rowCount: 3, bias: true },
  { rows: 33, columns: 66, rowCount: 1, bias: false },
  { rows: 130, columns: 257, rowCount: 9, bias: true },
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
      name: 'matmul: a row has the same bits alone and in any batch',
      run: async (kernels) => {
        const [rows, columns, rowCount] = [50, 131, 21];
        const weight = await kernels.loadMatrix(
          table('F32', [rows, columns], normals(4, rows * columns)).source,
        );
        const x = normals(5, rowCount * columns);
        const together = await kernels.matmul(weight, x, rowCount, null);
        for (let row = 0; row < rowCount; row++)
          expectSame(
            `row ${row} alone`,
            await kernels.matmul(weight, x.slice(row * columns, (row + 1) * columns), 1, null),
            together.slice(row * rows, (row + 1) * rows),
          );
      },
    },
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

interface AttendSize {
  what: string;
  queryCount: number;
  keyCount: number;
  /** Positions that the cache has room for. */
  capacity: number;
  headCount: number;
  kvHeadCount: number;
  headWidth: number;
  alibi: boolean;
}

const ATTEND_SIZES: AttendSize[] = [
  {
    what: 'the first token',
    queryCount: 1,
    keyCount: 1,
    capacity: 1,
    headCount: 1,
    kvHeadCount: 1,
    headWidth: 4,
    alibi: false,
  },
  {
    what: 'a prompt',
    queryCount: 9,
    keyCount: 9,
    capacity: 9,
    headCount: 4,
    kvHeadCount: 4,
    headWidth: 16,
    alibi: false,
  },
  {
    what: 'a step after a prompt',
    queryCount: 1,
    keyCount: 30,
    capacity: 64,
    headCount: 2,
    kvHeadCount: 2,
    headWidth: 7,
    alibi: false,
  },
  {
    what: 'several new tokens',
    queryCount: 3,
    keyCount: 11,
    capacity: 16,
    headCount: 6,
    kvHeadCount: 2,
    headWidth: 8,
    alibi: false,
  },
  {
    what: 'one key head for all',
    queryCount: 2,
    keyCount: 5,
    capacity: 5,
    headCount: 4,
    kvHeadCount: 1,
    headWidth: 3,
    alibi: true,
  },
  {
    what: 'alibi',
    queryCount: 8,
    keyCount: 12,
    capacity: 20,
    headCount: 4,
    kvHeadCount: 4,
    headWidth: 8,
    alibi: true,
  },
  {
    what: 'no new token',
    queryCount: 0,
    keyCount: 4,
    capacity: 4,
    headCount: 2,
    kvHeadCount: 1,
    headWidth: 4,
    alibi: false,
  },
];

export function attendCases(): ConformanceCase[] {
  return [
    ...ATTEND_SIZES.map(
      (size): ConformanceCase => ({
        name: `attend: ${size.what}, ${size.headCount} heads over ${size.kvHeadCount}`,
        run: async (kernels) => {
          const request = attendRequest(size);
          const got = await kernels.attend({
            ...request,
            query: inside(request.query),
            keys: inside(request.keys),
            values: inside(request.values),
          });
          expectClose('the output', got, naiveAttend(request));
        },
      }),
    ),
    {
      name: 'attend: a query has the same bits alone and with the whole prompt',
      run: async (kernels) => {
        const request = attendRequest({ ...ATTEND_SIZES[5]!, queryCount: 12 });
        const together = await kernels.attend(request);
        const width = request.headCount * request.headWidth;
        for (let i = 0; i < request.queryCount; i++)
          expectSame(
            `query ${i} alone`,
            await kernels.attend({
              ...request,
              query: request.query.slice(i * width, (i + 1) * width),
              queryCount: 1,
              keyCount: i + 1,
            }),
            together.slice(i * width, (i + 1) * width),
          );
      },
    },
    {
      name: 'attend: scores far apart neither overflow nor vanish',
      run: async (kernels) => {
        const request: AttendRequest = {
          ...{ queryCount: 1, keyCount: 3, headCount: 1, kvHeadCount: 1, headWidth: 1, alibiSlopes: null },
          query: Float32Array.of(1000),
          keys: Float32Array.of(-1, 1, 0.999),
          values: Float32Array.of(100, 1, 2),
        };
        const rest = Math.exp(1000 * (Math.fround(0.999) - 1));
        const want = (1 + 2 * rest) / (1 + rest);
        expectClose('the output', await kernels.attend(request), {
          value: Float64Array.of(want),
          magnitude: Float64Array.of(want),
        });
      },
    },
    {
      name: 'attend: a cache that is too short is an assertion',
      run: async (kernels) => {
        const request = attendRequest(ATTEND_SIZES[1]!);
        await expectAssertion(() => kernels.attend({ ...request, keyCount: request.keyCount + 1 }));
        await expectAssertion(() => kernels.attend({ ...request, keyCount: request.queryCount - 1 }));
      },
    },
  ];
}

function attendRequest(size: AttendSize): AttendRequest {
  const { what: _, capacity, alibi, ...counts } = size;
  const cached = capacity * size.kvHeadCount * size.headWidth;
  return {
    ...counts,
    query: normals(11, size.queryCount * size.headCount * size.headWidth),
    keys: normals(12, cached),
    values: normals(13, cached),
    alibiSlopes: alibi ? Float32Array.from({ length: size.headCount }, (_, head) => 2 ** -(head + 1)) : null,
  };
}
