import type { AttendRequest } from '../kernels.ts';
import { type ConformanceCase, expectAssertion, expectClose, expectSame } from './checks.ts';
import { inside, normals } from './inputs.ts';
import { naiveAttend } from './naive-dense.ts';

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
        const request = attendRequest({ ...ATTEND_SIZES[5], queryCount: 12 });
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
      name: 'attend: a cache that is too short, or heads in unequal groups, is an assertion',
      run: async (kernels) => {
        const request = attendRequest(ATTEND_SIZES[1]);
        await expectAssertion(() => kernels.attend({ ...request, keyCount: request.keyCount + 1 }));
        await expectAssertion(() => kernels.attend({ ...request, keyCount: request.queryCount - 1 }));
        await expectAssertion(() => kernels.attend({ ...request, values: request.values.slice(1) }));
        await expectAssertion(() => kernels.attend({ ...request, kvHeadCount: 3 }));
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
