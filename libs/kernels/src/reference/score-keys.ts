import { type Candidates, collapseScore, rangeLength, SIDES, topK } from '@ultramem/ultramem';
import { assertScores } from '../check-requests.ts';
import type { KeyTable } from '../kernels.ts';
import type { ScoreRequest } from '../selection.ts';
import { ownKeys } from './load-keys.ts';
import { multiplyRows } from './multiply-rows.ts';
import type { Turns } from './turns.ts';

/**
 * Refined scores and the best `k` keys of every token, head and side (SEMANTICS 4.2, 4.3). Refined scores are rounded to
 * f32 before they are collapsed, because they travel as f32 and whoever merges them must order them alike.
 *
 * @throws OperatingError NON_FINITE_SCORE when a score is NaN.
 */
export async function scoreKeys(turns: Turns, handle: KeyTable, request: ScoreRequest): Promise<Candidates> {
  const table = ownKeys(handle);
  assertScores(table, request);
  const { elements: keys, headCount, range, width, rank } = table;
  const { query, tokenCount, groupCount, groupOfHead, collapse, k } = request;
  const keyCount = rangeLength(range);
  const perSide = Math.min(k, keyCount);
  const result: Candidates = {
    tokenCount,
    perSide,
    index: new Uint32Array(tokenCount * headCount * SIDES * perSide),
    refined: new Float32Array(tokenCount * headCount * SIDES * perSide * rank),
  };
  const refined = new Float32Array(keyCount * rank); // of one list
  const collapsed = new Float64Array(keyCount);
  const best = new Uint32Array(perSide);
  // Tokens innermost: the keys of one head and side stay in the cache.
  for (let list = 0; list < headCount * SIDES; list++) {
    const head = Math.floor(list / SIDES);
    const side = list % SIDES;
    const vector = side === 0 ? collapse.row : collapse.column;
    for (let token = 0; token < tokenCount; token++) {
      multiplyRows({
        weight: keys,
        columns: width,
        firstRow: list * keyCount * rank,
        rowCount: keyCount * rank,
        x: query,
        xAt: ((token * groupCount + groupOfHead[head]) * SIDES + side) * width,
        bias: null,
        into: refined,
        intoAt: 0,
      });
      for (let key = 0; key < keyCount; key++)
        collapsed[key] = collapseScore(refined, key * rank, vector, head * rank, rank);
      topK(collapsed, keyCount, perSide, best, 0);
      const at = (token * headCount * SIDES + list) * perSide;
      for (let j = 0; j < perSide; j++) {
        const key = best[j];
        result.index[at + j] = range.start + key;
        for (let r = 0; r < rank; r++) result.refined[(at + j) * rank + r] = refined[key * rank + r];
      }
      const pause = turns(keyCount * rank * width);
      if (pause !== null) await pause;
    }
  }
  return result;
}
