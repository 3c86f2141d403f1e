import { type Candidates, SIDES } from '@ultramem/ultramem';
import type { Norm } from '../kernels.ts';
import type { GridRequest, ScoreRequest } from '../selection.ts';
import type { Truth } from './checks.ts';
import { addTerm, emptyTruth } from './naive-dense.ts';

export interface KeyShape {
  headCount: number;
  keyCount: number;
  width: number;
  rank: number;
}

/** SEMANTICS 4.1: `[heads, 2, keyCount, width, rank]` normalised over the width, rounded to f32. */
export function naiveKeys(stored: Float32Array, shape: KeyShape, norm: Norm | null): Float32Array {
  const { headCount, keyCount, width, rank } = shape;
  const keys = new Float32Array(stored);
  if (norm === null) return keys;
  for (let row = 0; row < headCount * SIDES * keyCount; row++)
    for (let r = 0; r < rank; r++) {
      const at = (c: number) => (row * width + c) * rank + r;
      let mean = 0;
      for (let c = 0; c < width; c++) mean += stored[at(c)] / width;
      if (norm.kind === 'rms') mean = 0;
      let square = 0;
      for (let c = 0; c < width; c++) square += ((stored[at(c)] - mean) * (stored[at(c)] - mean)) / width;
      for (let c = 0; c < width; c++)
        keys[at(c)] =
          (norm.weight?.[c] ?? 1) * ((stored[at(c)] - mean) / Math.sqrt(square + norm.eps)) +
          (norm.bias?.[c] ?? 0);
    }
  return keys;
}

export interface NaiveScores {
  index: number[]; // [tokenCount, heads, 2, perSide]
  refined: Truth; // [tokenCount, heads, 2, perSide, rank]
  /** Smallest distance between neighbours in any reported order and to the first one left out, relative to the largest score of its list. */
  gap: number;
}

/** SEMANTICS 4.2, 4.3 for the key rows from `first` on, by sorting all of them. */
export function naiveScores(
  keys: Float32Array,
  shape: KeyShape,
  request: ScoreRequest,
  range: { start: number; end: number },
): NaiveScores {
  const { headCount, keyCount, width, rank } = shape;
  const index: number[] = [];
  const values: number[] = [];
  const magnitudes: number[] = [];
  let gap = Number.POSITIVE_INFINITY;
  for (let token = 0; token < request.tokenCount; token++)
    for (let head = 0; head < headCount; head++)
      for (let side = 0; side < SIDES; side++) {
        const vector = side === 0 ? request.collapse.row : request.collapse.column;
        const group = request.groupOfHead[head];
        const scored = [];
        for (let key = range.start; key < range.end; key++) {
          const scores = emptyTruth(rank);
          for (let r = 0; r < rank; r++)
            for (let c = 0; c < width; c++)
              addTerm(
                scores,
                r,
                request.query[((token * request.groupCount + group) * SIDES + side) * width + c] *
                  keys[(((head * SIDES + side) * keyCount + key) * width + c) * rank + r],
              );
          let collapsed = 0;
          for (let r = 0; r < rank; r++) collapsed += Math.fround(scores.value[r]) * vector[head * rank + r];
          scored.push({ key, scores, collapsed });
        }
        scored.sort((a, b) => b.collapsed - a.collapsed || a.key - b.key);
        gap = Math.min(
          gap,
          smallestGap(
            scored.map((entry) => entry.collapsed),
            request.k,
          ),
        );
        for (const entry of scored.slice(0, request.k)) {
          index.push(entry.key);
          values.push(...entry.scores.value);
          magnitudes.push(...entry.scores.magnitude);
        }
      }
  return {
    index,
    refined: { value: Float64Array.from(values), magnitude: Float64Array.from(magnitudes) },
    gap,
  };
}

export interface NaiveGrid {
  virtualIndex: number[]; // [tokenCount, heads * k]
  scores: Truth; // [tokenCount, heads * k, coreCount]
  rankScore: Truth; // [tokenCount, heads * k]
  gap: number;
}

/** SEMANTICS 4.4 (section 6 steps 4 and 5 without cores), by sorting the whole grid. */
export function naiveGrid(request: GridRequest): NaiveGrid {
  const { headCount, keyCount, coreCount } = request;
  const { tokenCount, perSide: k, index } = request.candidates;
  const perToken = headCount * k;
  const virtualIndex: number[] = [];
  const scores = emptyTruth(tokenCount * perToken * coreCount);
  const rankScore = emptyTruth(tokenCount * perToken);
  let gap = Number.POSITIVE_INFINITY;
  for (let list = 0; list < tokenCount * headCount; list++) {
    const cells = [];
    for (let a = 0; a < k; a++)
      for (let b = 0; b < k; b++) {
        const perCore = cellScores(request, list, a, b);
        const sum = perCore.value.reduce((total, score) => total + score, 0);
        const z = index[list * SIDES * k + a] * keyCount + index[(list * SIDES + 1) * k + b];
        cells.push({ position: a * k + b, z, perCore, sum });
      }
    cells.sort((a, b) => b.sum - a.sum || a.position - b.position);
    gap = Math.min(
      gap,
      smallestGap(
        cells.map((cell) => cell.sum),
        k,
      ),
    );
    const winners = cells.slice(0, k);
    const partition = winners.reduce((total, cell) => total + Math.exp(cell.sum - winners[0].sum), 0);
    winners.forEach(({ z, perCore, sum }, j) => {
      virtualIndex.push(z);
      rankScore.value[list * k + j] = sum;
      rankScore.magnitude[list * k + j] = perCore.magnitude.reduce((total, m) => total + m, 0);
      if (request.cores === null) addTerm(scores, list * k + j, Math.exp(sum - winners[0].sum) / partition);
      else
        for (let c = 0; c < coreCount; c++) {
          scores.value[(list * k + j) * coreCount + c] = perCore.value[c];
          scores.magnitude[(list * k + j) * coreCount + c] = perCore.magnitude[c];
        }
    });
  }
  return { virtualIndex, scores, rankScore, gap };
}

/** Scores of grid cell (a, b) of list (token, head), one per core. */
function cellScores(request: GridRequest, list: number, a: number, b: number): Truth {
  const { headCount, rank, cores, coreCount } = request;
  const { perSide: k, refined } = request.candidates;
  const truth = emptyTruth(coreCount);
  const row = (r: number) => refined[(list * SIDES * k + a) * rank + r];
  const column = (s: number) => refined[((list * SIDES + 1) * k + b) * rank + s];
  if (cores === null) {
    addTerm(truth, 0, row(0));
    addTerm(truth, 0, column(0));
    return truth;
  }
  for (let c = 0; c < coreCount; c++)
    for (let r = 0; r < rank; r++)
      for (let s = 0; s < rank; s++)
        addTerm(
          truth,
          c,
          row(r) * cores[((c * headCount + (list % headCount)) * rank + r) * rank + s] * column(s),
        );
  return truth;
}

function smallestGap(descending: readonly number[], k: number): number {
  let gap = Number.POSITIVE_INFINITY;
  const largest = Math.max(...descending.map(Math.abs));
  for (let i = 0; i < Math.min(k, descending.length - 1); i++)
    gap = Math.min(gap, (descending[i] - descending[i + 1]) / largest);
  return gap;
}

/** Candidates that are not the result of any scoring: distinct keys with the given refined scores. */
export function candidatesOf(
  refined: Float32Array,
  size: { tokenCount: number; headCount: number; perSide: number; keyCount: number },
): Candidates {
  const { tokenCount, headCount, perSide, keyCount } = size;
  const lists = tokenCount * headCount * SIDES;
  const index = Uint32Array.from({ length: lists * perSide }, (_, i) => {
    const list = Math.floor(i / perSide);
    return keyCount - 1 - ((list * 5 + (i % perSide) * 3) % keyCount);
  });
  return { tokenCount, perSide, index, refined };
}
