import { SIDES } from '@ultramem/ultramem';
import type { GridRequest } from '../selection.ts';
import { type ConformanceCase, expectAssertion, expectClose, expectFailure, expectSame } from './checks.ts';
import { inside, normals, wholesInside } from './inputs.ts';
import { candidatesOf, naiveGrid } from './naive-selection.ts';

interface GridSetup {
  what: string;
  tokenCount: number;
  headCount: number;
  perSide: number;
  keyCount: number;
  rank: number;
  coreCount: number;
  cores: boolean;
  scale?: number;
}

const BASE = { tokenCount: 4, headCount: 2, perSide: 6, keyCount: 40, rank: 2, coreCount: 2, cores: true };

const SETUPS: GridSetup[] = [
  { ...BASE, what: 'rank 2, 2 cores' },
  { ...BASE, what: 'rank 1, 1 core', rank: 1, coreCount: 1 },
  { ...BASE, what: 'rank 3, 4 cores', rank: 3, coreCount: 4 },
  { ...BASE, what: 'rank 3, 1 core, 4 heads', rank: 3, coreCount: 1, headCount: 4 },
  { ...BASE, what: 'k = 1', perSide: 1 },
  { ...BASE, what: 'k = all keys', perSide: 11, keyCount: 11, tokenCount: 2 },
  { ...BASE, what: 'no tokens', tokenCount: 0 },
  { ...BASE, what: 'virtual indices beyond 2^32', keyCount: 100_000 },
  { ...BASE, what: 'huge scores', scale: 1e15 },
  { ...BASE, what: 'tiny scores', scale: 1e-15 },
  { ...BASE, what: 'Memory+', rank: 1, coreCount: 1, cores: false },
  { ...BASE, what: 'Memory+, k = 1', rank: 1, coreCount: 1, cores: false, perSide: 1 },
  { ...BASE, what: 'Memory+, scores far apart', rank: 1, coreCount: 1, cores: false, scale: 300 },
];

export function gridCases(): ConformanceCase[] {
  return [
    ...SETUPS.map(
      (setup): ConformanceCase => ({
        name: `selectGrid: ${setup.what}`,
        run: async (kernels) => {
          const { request, want } = separated(setup);
          const { candidates } = request;
          const got = await kernels.selectGrid({
            ...request,
            candidates: {
              ...candidates,
              index: wholesInside(candidates.index),
              refined: inside(candidates.refined),
            },
            cores: request.cores && inside(request.cores),
          });
          expectSame(
            'tokenCount and perToken',
            [got.tokenCount, got.perToken],
            [setup.tokenCount, setup.headCount * setup.perSide],
          );
          expectSame('the virtual index', got.virtualIndex, want.virtualIndex);
          expectClose('the score', got.scores, want.scores);
          expectClose('the ranking score', got.rankScore, want.rankScore);
        },
      }),
    ),
    {
      name: 'selectGrid: equal sums give the smaller grid position first',
      run: async (kernels) => {
        const request: GridRequest = {
          candidates: {
            ...{ tokenCount: 1, perSide: 3, index: Uint32Array.of(9, 4, 7, 2, 0, 5) },
            refined: Float32Array.of(2, 1, 1, /* columns */ 1, 1, 2),
          },
          ...{ headCount: 1, keyCount: 10, rank: 1, coreCount: 2, cores: Float32Array.of(0.25, 0.75) },
        };
        const got = await kernels.selectGrid(request);
        expectSame('the virtual index', got.virtualIndex, [95, 92, 90]);
        expectSame('the ranking score', got.rankScore, [4, 2, 2]);
        expectSame('the score', got.scores, [1, 3, 0.5, 1.5, 0.5, 1.5]);
        const plus = await kernels.selectGrid({ ...request, coreCount: 1, cores: null });
        expectSame('the virtual index of Memory+', plus.virtualIndex, [95, 92, 90]);
        expectSame('the ranking score of Memory+', plus.rankScore, [4, 3, 3]);
      },
    },
    {
      name: 'selectGrid: a NaN among the scores is NON_FINITE_SCORE',
      run: async (kernels) => {
        const { request } = separated(SETUPS[0]);
        const refined = request.candidates.refined.slice();
        refined[refined.length - 1] = Number.NaN;
        await expectFailure('NON_FINITE_SCORE', () =>
          kernels.selectGrid({ ...request, candidates: { ...request.candidates, refined } }),
        );
      },
    },
    {
      name: 'selectGrid: candidates that do not fit are an assertion',
      run: async (kernels) => {
        const { request } = separated(SETUPS[0]);
        await expectAssertion(() => kernels.selectGrid({ ...request, headCount: 3 }));
        await expectAssertion(() => kernels.selectGrid({ ...request, coreCount: 3 }));
      },
    },
  ];
}

function separated(setup: GridSetup) {
  for (let seed = 1; ; seed++) {
    const request = gridRequest(setup, seed * 100);
    const want = naiveGrid(request);
    if (want.gap > 2e-5) return { request, want };
  }
}

function gridRequest(setup: GridSetup, seed: number): GridRequest {
  const { tokenCount, headCount, perSide, keyCount, rank, coreCount } = setup;
  const refined = normals(seed, tokenCount * headCount * SIDES * perSide * rank, setup.scale);
  return {
    candidates: candidatesOf(refined, { tokenCount, headCount, perSide, keyCount }),
    headCount,
    keyCount,
    rank,
    cores: setup.cores ? normals(seed + 1, coreCount * headCount * rank * rank) : null,
    coreCount,
  };
}
