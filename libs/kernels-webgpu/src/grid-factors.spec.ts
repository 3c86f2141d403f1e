import type { GridRequest } from '@ultramem/kernels';
import { SIDES } from '@ultramem/ultramem';
import { expect, it } from 'vitest';
import { numbers, rounded } from '../test/device-arithmetic.ts';
import { survivorsMax } from './best-keys.ts';
import { type GridFactors, gridFactors, sumCores } from './grid-factors.ts';

const [TOKENS, HEADS, K] = [3, 2, 24];

function request(seed: number, rank: number, coreCount: number, scale: number, coreScale = 1): GridRequest {
  const count = TOKENS * HEADS * SIDES * K;
  return {
    candidates: {
      ...{ tokenCount: TOKENS, perSide: K, index: new Uint32Array(count) },
      refined: numbers(seed, count * rank, scale),
    },
    ...{ headCount: HEADS, keyCount: 100, rank, coreCount },
    cores: coreCount === 0 ? null : numbers(seed + 1, coreCount * HEADS * rank * rank, coreScale),
  };
}

/** The reference's sum of a cell. */
function sumOf({ candidates, headCount, rank, cores, coreCount }: GridRequest, list: number, cell: number) {
  const { refined } = candidates;
  const row = list * SIDES * K + Math.floor(cell / K);
  const column = list * SIDES * K + K + (cell % K);
  if (cores === null) return refined[row] + refined[column];
  let total = 0;
  for (let c = 0; c < coreCount; c++) {
    const coreAt = (c * headCount + (list % headCount)) * rank * rank;
    let score = 0;
    for (let s = 0; s < rank; s++) {
      let bent = 0;
      for (let r = 0; r < rank; r++) bent += refined[row * rank + r] * cores[coreAt + r * rank + s];
      score += bent * refined[column * rank + s];
    }
    total += score;
  }
  return total;
}

function deviceScores({ rows, columns, rank }: GridFactors, list: number, towardsZero: boolean) {
  return Float64Array.from({ length: K * K }, (_, cell) => {
    let sum = 0;
    for (let s = 0; s < rank; s++) {
      const product =
        rows[(list * K + Math.floor(cell / K)) * rank + s] * columns[(list * K + (cell % K)) * rank + s];
      sum = rounded(sum + rounded(product, towardsZero), towardsZero);
    }
    return sum;
  });
}

const SETUPS: [number, number, number, number][] = [
  [1, 1, 1, 1],
  [2, 2, 1, 1],
  [3, 4, 1, 1],
  [16, 2, 1, 1],
  [2, 2, 1e-30, 1],
  [2, 2, 1e30, 1e30],
  [2, 2, 1e-40, 1e-40],
  [1, 0, 1, 1],
  [1, 0, 1e-30, 1],
  [1, 0, 1e38, 1],
];

it.each(SETUPS)(
  'the bound holds, and about k cells reach it: rank %d, %d cores, scores of %d, cores of %d',
  (rank, coreCount, scale, coreScale) => {
    for (let seed = 10; seed < 20; seed++) {
      const grid = request(seed, rank, coreCount, scale, coreScale);
      const factors = gridFactors(grid, sumCores(grid), { first: 0, end: TOKENS });
      for (let list = 0; list < TOKENS * HEADS; list++) {
        const exact = Float64Array.from({ length: K * K }, (_, cell) => sumOf(grid, list, cell));
        const errorMax = factors.errorMax[list];
        for (const towardsZero of [false, true]) {
          const device = deviceScores(factors, list, towardsZero);
          const kth = device.slice().sort()[K * K - K];
          const survivors = device.filter((score) => score >= kth - 2 * errorMax);
          expect(survivors.length).toBeLessThanOrEqual(survivorsMax(K));
          // The scale of a list is not handed out: it is what the largest cell shows, to a power of two.
          const largest = exact.reduce(
            (best, x, cell) => (Math.abs(x) > Math.abs(exact[best]) ? cell : best),
            0,
          );
          const unit = 2 ** Math.round(Math.log2(exact[largest] / device[largest]));
          const worst = exact.reduce((most, x, cell) => Math.max(most, Math.abs(x / unit - device[cell])), 0);
          expect(worst).toBeLessThanOrEqual(errorMax);
        }
      }
    }
  },
);

it('takes the grids of some tokens', () => {
  const grid = request(1, 2, 2, 1);
  const cores = sumCores(grid);
  const all = gridFactors(grid, cores, { first: 0, end: TOKENS });
  const last = gridFactors(grid, cores, { first: TOKENS - 1, end: TOKENS });
  expect(last.rows).toEqual(all.rows.subarray((TOKENS - 1) * HEADS * K * 2));
  expect(last.columns).toEqual(all.columns.subarray((TOKENS - 1) * HEADS * K * 2));
  expect(last.errorMax).toEqual(all.errorMax.subarray((TOKENS - 1) * HEADS));
});

it('there is no bound where scores are not finite, or cores cancel so that rounding decides', () => {
  for (const odd of [Number.NaN, Number.POSITIVE_INFINITY]) {
    for (const coreCount of [0, 1]) {
      const grid = request(1, 1, coreCount, 1);
      grid.candidates.refined[5] = odd;
      const { errorMax } = gridFactors(grid, sumCores(grid), { first: 0, end: TOKENS });
      expect(errorMax[0]).toBe(Number.POSITIVE_INFINITY);
      expect(errorMax[1]).toBeLessThan(1e-5);
    }
  }
  const grid = request(1, 2, 2, 1);
  const half = (grid.cores?.length ?? 0) / 2;
  grid.cores?.copyWithin(half, 0, half);
  for (let i = half; i < 2 * half; i++) if (grid.cores) grid.cores[i] *= -1 - 2 ** -23;
  const { errorMax, rows } = gridFactors(grid, sumCores(grid), { first: 0, end: TOKENS });
  expect(rows.some((x) => Math.abs(x) >= 1)).toBe(true);
  for (const error of errorMax) expect(error).toBeGreaterThan(1);
});
