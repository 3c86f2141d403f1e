import { type Selection, SIDES, topK } from '@ultramem/ultramem';
import { assertGrid, emptySelection } from '../check-requests.ts';
import type { GridRequest } from '../selection.ts';
import { softmax } from './attend.ts';

/**
 * Scores the k x k grid of every token and head and keeps its best k (SEMANTICS 4.4; section 6 steps 4 and 5 for
 * Memory+). Ranked by the f64 sum over cores, equal sums by grid position; scores are rounded to f32 when they leave.
 *
 * @throws OperatingError NON_FINITE_SCORE when a grid score is NaN.
 */
export function selectGrid(request: GridRequest): Selection {
  const { candidates, headCount, keyCount, cores, coreCount } = request;
  const { tokenCount, perSide: k, index, refined } = candidates;
  assertGrid(request);
  const perToken = headCount * k;
  const selection = emptySelection(tokenCount, perToken, coreCount);
  const perCore = new Float64Array(coreCount * k * k);
  const total = new Float64Array(k * k);
  const best = new Uint32Array(k);
  const winnerScores = new Float64Array(k);
  for (let list = 0; list < tokenCount * headCount; list++) {
    const rowAt = list * SIDES * k;
    const columnAt = rowAt + k;
    if (cores === null) addSides(refined, rowAt, columnAt, total, k);
    else scoreGrid(request, cores, list % headCount, rowAt, perCore, total);
    topK(total, k * k, k, best, 0);
    for (let j = 0; j < k; j++) winnerScores[j] = total[best[j]];
    if (cores === null) softmax(winnerScores, k);
    for (let j = 0; j < k; j++) {
      const position = best[j];
      const entry = list * k + j;
      const row = index[rowAt + Math.floor(position / k)];
      const column = index[columnAt + (position % k)];
      selection.virtualIndex[entry] = row * keyCount + column;
      selection.rankScore[entry] = total[position];
      if (cores === null) selection.scores[entry] = winnerScores[j];
      else
        for (let c = 0; c < coreCount; c++)
          selection.scores[entry * coreCount + c] = perCore[c * k * k + position];
    }
  }
  return selection;
}

/** Memory+: row score plus column score. */
function addSides(
  refined: Float32Array,
  rowAt: number,
  columnAt: number,
  total: Float64Array,
  k: number,
): void {
  for (let a = 0; a < k; a++)
    for (let b = 0; b < k; b++) total[a * k + b] = refined[rowAt + a] + refined[columnAt + b];
}

/** `perCore[c, a, b] = Σ_rs S_row[a, r] T_c[r, s] S_col[b, s]` and its sum over cores, for one token and head. */
function scoreGrid(
  request: GridRequest,
  cores: Float32Array,
  head: number,
  rowAt: number,
  perCore: Float64Array,
  total: Float64Array,
): void {
  const { headCount, rank, coreCount } = request;
  const { perSide: k, refined } = request.candidates;
  const columnAt = rowAt + k;
  const bent = new Float64Array(rank); // one row's refined scores times the core
  total.fill(0);
  for (let c = 0; c < coreCount; c++) {
    const coreAt = (c * headCount + head) * rank * rank;
    for (let a = 0; a < k; a++) {
      for (let s = 0; s < rank; s++) {
        let sum = 0;
        for (let r = 0; r < rank; r++) sum += refined[(rowAt + a) * rank + r] * cores[coreAt + r * rank + s];
        bent[s] = sum;
      }
      for (let b = 0; b < k; b++) {
        let score = 0;
        for (let s = 0; s < rank; s++) score += bent[s] * refined[(columnAt + b) * rank + s];
        perCore[(c * k + a) * k + b] = score;
        total[a * k + b] += score;
      }
    }
  }
}
