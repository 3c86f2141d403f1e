import { createRandom } from '@ultramem/environment';
import { type Range, rangeLength } from '@ultramem/ultramem';
import type { PooledPart, PooledSize } from '../pooled-part.ts';
import { type ConformanceCase, expectAssertion, expectSame } from './checks.ts';
import { inside, normals, wholesInside } from './inputs.ts';

/** Which tokens a row range was asked about. */
type Hit = (token: number, rowPart: number) => boolean;

interface Cluster {
  size: PooledSize;
  rowParts: number;
  columns: readonly Range[];
  hit: Hit;
}

const SIZE: PooledSize = { tokenCount: 9, blockCount: 3, width: 37 };
const WHOLE: readonly Range[] = [{ start: 0, end: 37 }];
const CUT: readonly Range[] = [
  { start: 0, end: 20 },
  { start: 20, end: 37 },
];
const every: Hit = () => true;
const ragged: Hit = (token, rowPart) => (token * 7 + rowPart * 5) % 4 !== 1;

const CASES: [what: string, Cluster][] = [
  ['one part', { size: SIZE, rowParts: 1, columns: WHOLE, hit: every }],
  ['one part of some tokens', { size: SIZE, rowParts: 1, columns: WHOLE, hit: ragged }],
  ['two row parts', { size: SIZE, rowParts: 2, columns: WHOLE, hit: every }],
  ['four row parts of some tokens each', { size: SIZE, rowParts: 4, columns: WHOLE, hit: ragged }],
  ['five row parts', { size: SIZE, rowParts: 5, columns: WHOLE, hit: every }],
  ['eleven row parts of some tokens each', { size: SIZE, rowParts: 11, columns: WHOLE, hit: ragged }],
  ['two column ranges', { size: SIZE, rowParts: 1, columns: CUT, hit: every }],
  [
    'column ranges in another order, one of them empty',
    { size: SIZE, rowParts: 3, columns: [CUT[1], { start: 0, end: 0 }, CUT[0]], hit: ragged },
  ],
  ['a grid of two by two', { size: SIZE, rowParts: 2, columns: CUT, hit: ragged }],
  ['columns that nobody has', { size: SIZE, rowParts: 2, columns: [CUT[1]], hit: every }],
  ['tokens that one part has', { size: SIZE, rowParts: 3, columns: CUT, hit: (t, p) => t % 3 === p }],
  ['a part without tokens', { size: SIZE, rowParts: 3, columns: WHOLE, hit: (_, p) => p !== 1 }],
  ['tokens that nobody has', { size: SIZE, rowParts: 2, columns: CUT, hit: (t) => t > 2 && t < 8 }],
  ['no parts', { size: SIZE, rowParts: 0, columns: WHOLE, hit: every }],
  ['no tokens', { size: { ...SIZE, tokenCount: 0 }, rowParts: 2, columns: WHOLE, hit: every }],
  [
    'many tokens of many blocks',
    { size: { tokenCount: 300, blockCount: 5, width: 37 }, rowParts: 3, columns: CUT, hit: ragged },
  ],
];

export function mergeCases(): ConformanceCase[] {
  return [
    ...CASES.map(
      ([what, cluster]): ConformanceCase => ({
        name: `mergePartials: ${what}`,
        run: async (kernels) => {
          const parts = partsOf(cluster);
          expectMerged(await kernels.mergePartials(parts, cluster.size), parts, cluster.size);
        },
      }),
    ),
    ...ruleCases(),
  ];
}

function ruleCases(): ConformanceCase[] {
  const denormal = 2 ** -149;
  return [
    sumCase('a sum is rounded once', [2 ** 24, 1, 1], 2 ** 24 + 2),
    sumCase('the first two are added first', [2 ** 60, -(2 ** 60), 2 ** -60], 2 ** -60),
    sumCase('a sum of eight in the order of the parts', [1, 2 ** 60, 0, 0, -(2 ** 60), 1, 0, 0], 1),
    sumCase('denormals', [denormal, denormal, -(2 ** -148), denormal], denormal),
    sumCase('a sum in f64 that leaves f32', [3e38, 3e38, -3e38], Math.fround(3e38)),
    sumCase('a result beyond f32', [3e38, 3e38], Number.POSITIVE_INFINITY),
    sumCase('infinities', [Number.NEGATIVE_INFINITY, 1, -1], Number.NEGATIVE_INFINITY),
    sumCase('infinities of both signs', [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY], Number.NaN),
    sumCase('-0 of one part', [-0], -0),
    sumCase('-0 of every part', [-0, -0, -0, -0, -0], -0),
    sumCase('-0 and 0', [-0, 0], 0),
    sumCase('-0 beside a part that lacks the token', [-0, null, null], -0),
    sumCase('-0 of two parts of six', [null, -0, null, null, null, -0], -0),
    {
      name: 'mergePartials: parts that do not fit are an assertion',
      run: async (kernels) => {
        const [part, other] = partsOf({ size: SIZE, rowParts: 2, columns: WHOLE, hit: every });
        for (const wrong of [
          { ...part, pooled: part.pooled.subarray(1) },
          { ...part, token: part.token.slice().reverse() },
          { ...part, token: part.token.map((token) => token + 1) },
          { ...part, token: part.token.map((token) => Math.max(1, token)) },
          { ...part, columns: { start: 1, end: 38 } },
          { ...part, token: new Uint32Array(0), columns: { start: 9, end: 3 }, pooled: new Float32Array(0) },
          partsOf({ size: SIZE, rowParts: 1, columns: [{ start: 0, end: 36 }], hit: every })[0],
        ])
          await expectAssertion(() => kernels.mergePartials([other, wrong], SIZE));
      },
    },
  ];
}

/** One number of one token, or nothing, from each part: in every lane of a vector and in what is left beside them. */
function sumCase(what: string, values: readonly (number | null)[], sum: number): ConformanceCase {
  return {
    name: `mergePartials: ${what}`,
    run: async (kernels) => {
      const width = 35;
      const parts = values.map(
        (value): PooledPart => ({
          token: Uint32Array.from(value === null ? [] : [0]),
          columns: { start: 0, end: width },
          pooled: new Float32Array(value === null ? 0 : width).fill(value ?? 0),
        }),
      );
      const got = await kernels.mergePartials(parts, { tokenCount: 1, blockCount: 1, width });
      expectSame('the sum', got, new Float32Array(width).fill(sum));
    },
  };
}

/** In row order, each row range's parts in column order; the arrays lie inside larger ones. */
function partsOf({ size, rowParts, columns, hit }: Cluster): PooledPart[] {
  const parts: PooledPart[] = [];
  for (let rowPart = 0; rowPart < rowParts; rowPart++) {
    const token = Uint32Array.from({ length: size.tokenCount }, (_, t) => t).filter((t) => hit(t, rowPart));
    for (const range of columns) {
      const pooled = normals(31 + parts.length, token.length * size.blockCount * rangeLength(range));
      scatterLarge(pooled, parts.length);
      parts.push({ token: wholesInside(token), columns: range, pooled: inside(pooled) });
    }
  }
  return parts;
}

/** Large numbers that cancel each other, and take the small ones before them along: sums in another order have other bits. */
function scatterLarge(values: Float32Array, seed: number): void {
  const random = createRandom(seed);
  for (let i = 0; i < values.length; i++) {
    const draw = random.uint32() % 6;
    if (draw < 2) values[i] = draw === 0 ? 2 ** 60 : -(2 ** 60);
  }
}

/** Every element as the contract says it, on its own; a token that no part has may have zeros of either sign. */
function expectMerged(got: Float32Array, parts: readonly PooledPart[], size: PooledSize): void {
  const { tokenCount, blockCount, width } = size;
  const want = new Float32Array(tokenCount * blockCount * width);
  for (let at = 0; at < want.length; at++) {
    const column = at % width;
    const row = Math.floor(at / width);
    const terms = parts.flatMap(({ token, columns, pooled }) => {
      const index = token.indexOf(Math.floor(row / blockCount));
      if (index < 0 || column < columns.start || column >= columns.end) return [];
      return pooled[
        (index * blockCount + (row % blockCount)) * rangeLength(columns) + column - columns.start
      ];
    });
    want[at] = terms.length === 0 ? 0 : terms.reduce((sum, term) => sum + term);
    if (terms.length === 0 && Object.is(got[at], -0)) want[at] = -0;
  }
  expectSame('the pooled vector', got, want);
}
