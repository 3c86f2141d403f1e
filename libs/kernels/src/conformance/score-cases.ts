import type { FloatDType } from '@ultramem/checkpoint';
import { SIDES } from '@ultramem/ultramem';
import type { Norm } from '../kernels.ts';
import type { ScoreRequest } from '../selection.ts';
import { type ConformanceCase, expectAssertion, expectClose, expectFailure, expectSame } from './checks.ts';
import { inside, normals, table, wholesInside } from './inputs.ts';
import { type KeyShape, naiveKeys, naiveScores } from './naive-selection.ts';

interface ScoreSetup extends KeyShape {
  what: string;
  dtype: FloatDType;
  norm: 'rms' | 'rms with bias' | 'layer with bias' | 'layer without weight' | null;
  tokenCount: number;
  groupOfHead: number[];
  range: { start: number; end: number };
  k: number;
  keyScale?: number;
  queryScale?: number;
}

const BASE: ScoreSetup = {
  what: 'base',
  ...{ headCount: 2, keyCount: 37, width: 12, rank: 2, dtype: 'F32', norm: 'rms', tokenCount: 4 },
  ...{ groupOfHead: [0, 0], range: { start: 0, end: 37 }, k: 6 },
};

const SETUPS: ScoreSetup[] = [
  { ...BASE, what: 'rank 2, rms norm' },
  { ...BASE, what: 'rank 1 without norm', rank: 1, norm: null },
  { ...BASE, what: 'rank 3, LayerNorm with bias', rank: 3, norm: 'layer with bias', width: 20 },
  { ...BASE, what: 'rms norm with bias, odd width', norm: 'rms with bias', width: 9 },
  { ...BASE, what: 'LayerNorm without weight', norm: 'layer without weight' },
  { ...BASE, what: 'F16 keys', dtype: 'F16' },
  { ...BASE, what: 'BF16 keys without norm', dtype: 'BF16', norm: null },
  { ...BASE, what: 'one head', headCount: 1, groupOfHead: [0] },
  { ...BASE, what: 'four heads over two queries', headCount: 4, groupOfHead: [0, 0, 1, 1] },
  { ...BASE, what: 'heads in another order', headCount: 3, groupOfHead: [2, 0, 1] },
  { ...BASE, what: 'no tokens', tokenCount: 0 },
  { ...BASE, what: 'k = 1', k: 1 },
  { ...BASE, what: 'k = all keys', keyCount: 9, range: { start: 0, end: 9 }, k: 9 },
  { ...BASE, what: 'a range in the middle', range: { start: 11, end: 29 } },
  { ...BASE, what: 'a range at the end, k above its length', range: { start: 33, end: 37 } },
  { ...BASE, what: 'a range of one key', range: { start: 20, end: 21 } },
  { ...BASE, what: 'huge keys under a norm', keyScale: 1e17, tokenCount: 2 },
  { ...BASE, what: 'tiny keys under a norm', keyScale: 1e-30, tokenCount: 2 },
  { ...BASE, what: 'huge queries', queryScale: 1e30, tokenCount: 2 },
  {
    ...BASE,
    what: 'denormal keys, huge queries',
    norm: null,
    keyScale: 1e-39,
    queryScale: 1e37,
    tokenCount: 2,
  },
];

export function scoreCases(): ConformanceCase[] {
  return [
    ...SETUPS.map(
      (setup): ConformanceCase => ({
        name: `scoreKeys: ${setup.what}`,
        run: async (kernels) => {
          const { source, norm, request, want } = separated(setup);
          const keys = await kernels.loadKeys(source, setup.range, norm);
          const got = await kernels.scoreKeys(keys, {
            ...request,
            query: inside(request.query),
            groupOfHead: wholesInside(request.groupOfHead),
            collapse: { row: inside(request.collapse.row), column: inside(request.collapse.column) },
          });
          const perSide = Math.min(setup.k, setup.range.end - setup.range.start);
          expectSame('tokenCount and perSide', [got.tokenCount, got.perSide], [setup.tokenCount, perSide]);
          expectSame('the index', got.index, want.index);
          expectClose('the refined score', got.refined, want.refined);
        },
      }),
    ),
  ];
}

export function scoreRuleCases(): ConformanceCase[] {
  return [
    {
      name: 'scoreKeys: equal scores give the smaller key first',
      run: async (kernels) => {
        const values = Float32Array.of(1, 2, 0, 2, 1, 2, 0, 1, /* columns */ 3, 3, 3, 3, 3, 3, 3, 3);
        const keys = await kernels.loadKeys(
          table('F32', [1, 2, 8, 1], values).source,
          { start: 1, end: 8 },
          null,
        );
        const got = await kernels.scoreKeys(keys, {
          ...{
            query: Float32Array.of(1, -1),
            tokenCount: 1,
            groupCount: 1,
            groupOfHead: Uint32Array.of(0),
            k: 5,
          },
          collapse: { row: Float32Array.of(1), column: Float32Array.of(1) },
        });
        expectSame('the index', got.index, [1, 3, 5, 4, 7, 1, 2, 3, 4, 5]);
        expectSame('the refined score', got.refined, [2, 2, 2, 1, 1, -3, -3, -3, -3, -3]);
      },
    },
    {
      name: 'scoreKeys: u = v = 0 ties all keys',
      run: async (kernels) => {
        const { source, norm, request } = separated(BASE);
        const zeros = new Float32Array(BASE.headCount * BASE.rank);
        const got = await kernels.scoreKeys(await kernels.loadKeys(source, BASE.range, norm), {
          ...request,
          collapse: { row: zeros, column: zeros },
        });
        expectSame(
          'the index',
          got.index,
          Uint32Array.from(got.index, (_, i) => i % BASE.k),
        );
      },
    },
    {
      name: 'scoreKeys: a token has the same bits alone and in any batch',
      run: async (kernels) => {
        const { source, norm, request } = separated({ ...BASE, tokenCount: 17 });
        const keys = await kernels.loadKeys(source, BASE.range, norm);
        const together = await kernels.scoreKeys(keys, request);
        const [queryLength, lists] = [SIDES * BASE.width, BASE.headCount * SIDES * BASE.k];
        for (let t = 0; t < request.tokenCount; t++) {
          const query = request.query.slice(t * queryLength, (t + 1) * queryLength);
          const alone = await kernels.scoreKeys(keys, { ...request, query, tokenCount: 1 });
          expectSame(
            `index of token ${t} alone`,
            alone.index,
            together.index.slice(t * lists, (t + 1) * lists),
          );
          expectSame(
            `refined score of token ${t} alone`,
            alone.refined,
            together.refined.slice(t * lists * BASE.rank, (t + 1) * lists * BASE.rank),
          );
        }
      },
    },
  ];
}

export function scoreRefusalCases(): ConformanceCase[] {
  return [
    {
      name: 'scoreKeys: a NaN in the query is NON_FINITE_SCORE',
      run: async (kernels) => {
        const { source, norm, request } = separated(BASE);
        const keys = await kernels.loadKeys(source, BASE.range, norm);
        const query = request.query.slice();
        query[query.length - 1] = Number.NaN;
        await expectFailure('NON_FINITE_SCORE', () => kernels.scoreKeys(keys, { ...request, query }));
      },
    },
    {
      name: 'scoreKeys: a query that does not fit, or released keys, is an assertion',
      run: async (kernels) => {
        const { source, norm, request } = separated(BASE);
        const keys = await kernels.loadKeys(source, BASE.range, norm);
        await expectAssertion(() =>
          kernels.scoreKeys(keys, { ...request, tokenCount: request.tokenCount + 1 }),
        );
        await expectAssertion(() =>
          kernels.scoreKeys(keys, { ...request, groupOfHead: Uint32Array.of(0, 1) }),
        );
        keys.release();
        await expectAssertion(() => kernels.scoreKeys(keys, request));
      },
    },
  ];
}

/** Backends may round the last bit of a score differently: the first seed whose scores are further apart than that. */
function separated(setup: ScoreSetup) {
  for (let seed = 1; ; seed++) {
    const inputs = scoreInputs(setup, seed * 100);
    const want = naiveScores(inputs.keys, setup, inputs.request, setup.range);
    if (want.gap > 2e-5) return { ...inputs, want };
  }
}

function scoreInputs(setup: ScoreSetup, seed: number) {
  const { headCount, keyCount, width, rank, dtype, tokenCount, k } = setup;
  const shape = rank === 1 ? [headCount, SIDES, keyCount, width] : [headCount, SIDES, keyCount, width, rank];
  const values = normals(seed, headCount * SIDES * keyCount * width * rank, setup.keyScale);
  const { source, stored } = table(dtype, shape, values);
  const norm = normOf(setup, seed);
  const groupCount = Math.max(...setup.groupOfHead) + 1;
  const request: ScoreRequest = {
    query: normals(seed + 3, tokenCount * groupCount * SIDES * width, setup.queryScale),
    tokenCount,
    groupCount,
    groupOfHead: Uint32Array.from(setup.groupOfHead),
    collapse: { row: normals(seed + 4, headCount * rank), column: normals(seed + 5, headCount * rank) },
    k,
  };
  return { source, keys: naiveKeys(stored, setup, norm), norm, request };
}

function normOf({ norm, width }: ScoreSetup, seed: number): Norm | null {
  if (norm === null) return null;
  return {
    kind: norm.startsWith('rms') ? 'rms' : 'layer',
    eps: 1e-5,
    weight: norm.endsWith('without weight') ? null : normals(seed + 1, width),
    bias: norm.endsWith('with bias') ? normals(seed + 2, width) : null,
  };
}
