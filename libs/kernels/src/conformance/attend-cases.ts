import { attendAlone, type SequenceAttention } from '../attend-each.ts';
import type { AttendRequest } from '../dense.ts';
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

const BATCH_HEADS = { what: '', headCount: 6, kvHeadCount: 2, headWidth: 20, alibi: false };

export function attendCases(): ConformanceCase[] {
  return [
    ...ATTEND_SIZES.map(
      (size): ConformanceCase => ({
        name: `attend: ${size.what}, ${size.headCount} heads over ${size.kvHeadCount}`,
        run: async (kernels) => {
          const sequence = sequenceOf(size);
          const { query, keys, values } = sequence;
          const views = { query: inside(query), keys: inside(keys), values: inside(values) };
          const got = await kernels.attend(attendAlone({ ...sequence, ...views }));
          expectClose('the output', got, naiveAttend(sequence));
        },
      }),
    ),
    {
      name: 'attend: a query has the same bits alone and with the whole prompt',
      run: async (kernels) => {
        const sequence = sequenceOf({ ...ATTEND_SIZES[5], queryCount: 12 });
        const together = await kernels.attend(attendAlone(sequence));
        const width = sequence.headCount * sequence.headWidth;
        for (let i = 0; i < sequence.queryCount; i++) {
          const query = sequence.query.slice(i * width, (i + 1) * width);
          const one = attendAlone({ ...sequence, query, queryCount: 1, keyCount: i + 1 });
          expectSame(
            `query ${i} alone`,
            await kernels.attend(one),
            together.slice(i * width, (i + 1) * width),
          );
        }
      },
    },
    {
      name: 'attend: scores far apart neither overflow nor vanish',
      run: async (kernels) => {
        const sequence: SequenceAttention = {
          ...{ queryCount: 1, keyCount: 3, headCount: 1, kvHeadCount: 1, headWidth: 1, alibiSlopes: null },
          query: Float32Array.of(1000),
          keys: Float32Array.of(-1, 1, 0.999),
          values: Float32Array.of(100, 1, 2),
        };
        const rest = Math.exp(1000 * (Math.fround(0.999) - 1));
        const want = (1 + 2 * rest) / (1 + rest);
        expectClose('the output', await kernels.attend(attendAlone(sequence)), {
          value: Float64Array.of(want),
          magnitude: Float64Array.of(want),
        });
      },
    },
    {
      name: 'attend: a cache that is too short, or heads in unequal groups, is an assertion',
      run: async (kernels) => {
        const sequence = sequenceOf(ATTEND_SIZES[1]);
        const { keyCount, queryCount, values } = sequence;
        const wrong = [
          { keyCount: keyCount + 1 },
          { keyCount: queryCount - 1 },
          { values: values.slice(1) },
          { kvHeadCount: 3 },
          { queryCount: queryCount - 1 },
        ];
        for (const change of wrong)
          await expectAssertion(() => kernels.attend(attendAlone({ ...sequence, ...change })));
      },
    },
  ];
}

/** Several sequences at once. */
export function attendBatchCases(): ConformanceCase[] {
  return [
    {
      name: 'attend: a ragged batch, its sequences as each alone',
      run: async (kernels) => {
        const counts = [
          [1, 30],
          [9, 9],
          [0, 4],
          [150, 200],
          [3, 700],
          [1, 1],
        ];
        const sequences = counts.map(([queryCount, keyCount], i) => ({
          ...sequenceOf({ ...BATCH_HEADS, queryCount, keyCount, capacity: keyCount + i }),
          alibiSlopes: null,
        }));
        const { headCount, kvHeadCount, headWidth } = BATCH_HEADS;
        const batch: AttendRequest = {
          ...{ headCount, kvHeadCount, headWidth, alibiSlopes: null },
          query: Float32Array.from(sequences.flatMap(({ query }) => [...query])),
          sequences,
        };
        const together = await kernels.attend(batch);
        let at = 0;
        for (const [i, sequence] of sequences.entries()) {
          const part = together.slice(at, at + sequence.query.length);
          expectClose(`sequence ${i}`, part, naiveAttend(sequence));
          expectSame(`sequence ${i} alone`, await kernels.attend(attendAlone(sequence)), part);
          at += part.length;
        }
        expectSame(
          'nothing',
          await kernels.attend({ ...batch, query: new Float32Array(0), sequences: [] }),
          [],
        );
      },
    },
  ];
}

function sequenceOf(size: AttendSize): SequenceAttention {
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
