import { type GridRequest, softmax } from '@ultramem/kernels';
import { type Selection, SIDES, topK } from '@ultramem/ultramem';

/**
 * Evaluates cells of a list's grid (token and head) in f64, in the order of the reference (SEMANTICS 4.4; section 6 steps 4 and 5 for
 * Memory+), and writes the best k into the selection. Cells ascend, so that equal sums give the smaller grid position first.
 */
export function createCellRanking(
  request: GridRequest,
  selection: Selection,
): (list: number, cells: Uint32Array) => void {
  const { candidates, keyCount, coreCount } = request;
  const { perSide: k, index } = candidates;
  const best = new Uint32Array(k);
  const winnerScores = new Float64Array(k);
  return (list, cells) => {
    const rowAt = list * SIDES * k;
    const { total, perCore } = evaluateCells(request, list, cells);
    topK(total, cells.length, k, best, 0);
    for (let j = 0; j < k; j++) winnerScores[j] = total[best[j]];
    if (perCore === null) softmax(winnerScores, k);
    for (let j = 0; j < k; j++) {
      const cell = cells[best[j]];
      const entry = list * k + j;
      const row = index[rowAt + Math.floor(cell / k)];
      selection.virtualIndex[entry] = row * keyCount + index[rowAt + k + (cell % k)];
      selection.rankScore[entry] = total[best[j]];
      if (perCore === null) selection.scores[entry] = winnerScores[j];
      else
        for (let c = 0; c < coreCount; c++)
          selection.scores[entry * coreCount + c] = perCore[best[j] * coreCount + c];
    }
  };
}

function evaluateCells(
  { candidates, headCount, rank, cores, coreCount }: GridRequest,
  list: number,
  cells: Uint32Array,
): { total: Float64Array; perCore: Float64Array | null } {
  const { perSide: k, refined } = candidates;
  const rowAt = list * SIDES * k;
  const columnAt = rowAt + k;
  const total = new Float64Array(cells.length);
  if (cores === null) {
    for (let i = 0; i < cells.length; i++)
      total[i] = refined[rowAt + Math.floor(cells[i] / k)] + refined[columnAt + (cells[i] % k)];
    return { total, perCore: null };
  }
  const perCore = new Float64Array(cells.length * coreCount);
  const bent = new Float64Array(coreCount * rank); // one row's refined scores times each core
  let bentRow = -1;
  for (let i = 0; i < cells.length; i++) {
    const row = Math.floor(cells[i] / k);
    for (let c = 0; c < coreCount && row !== bentRow; c++) {
      const coreAt = (c * headCount + (list % headCount)) * rank * rank;
      for (let s = 0; s < rank; s++) {
        let sum = 0;
        for (let r = 0; r < rank; r++)
          sum += refined[(rowAt + row) * rank + r] * cores[coreAt + r * rank + s];
        bent[c * rank + s] = sum;
      }
    }
    bentRow = row;
    const column = columnAt + (cells[i] % k);
    for (let c = 0; c < coreCount; c++) {
      let score = 0;
      for (let s = 0; s < rank; s++) score += bent[c * rank + s] * refined[column * rank + s];
      perCore[i * coreCount + c] = score;
      total[i] += score;
    }
  }
  return { total, perCore };
}
