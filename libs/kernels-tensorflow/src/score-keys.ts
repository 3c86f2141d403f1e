import { assertScores, dot, type KeyTable, type ScoreRequest } from '@ultramem/kernels';
import { type Candidates, collapseScore, rangeLength, SIDES, topK } from '@ultramem/ultramem';
import type { Binding } from './binding.ts';
import { type DeviceScores, deviceScores } from './device-scores.ts';
import { ownKeys, type TensorflowKeys } from './load-keys.ts';
import { queryStart } from './query-start.ts';

/** Elements of f64 scores that one call holds: 64 MB. */
const SCORES_MAX = 8e6;

/**
 * Refined scores and the best `k` keys of every token, head and side (SEMANTICS 4.2, 4.3), equal to the reference's to the last
 * bit: the device chooses, and what its roundings leave in doubt is scored again here.
 *
 * @throws OperatingError NON_FINITE_SCORE when a score is NaN.
 */
export async function scoreKeys(
  binding: Binding,
  breathe: () => Promise<void>,
  handle: KeyTable,
  request: ScoreRequest,
): Promise<Candidates> {
  const keys = ownKeys(handle);
  assertScores(keys, request);
  const { tokenCount, groupCount, k } = request;
  const { width, rank, range } = keys;
  const lists = keys.headCount * SIDES;
  const perSide = Math.min(k, rangeLength(range));
  const result: Candidates = {
    tokenCount,
    perSide,
    index: new Uint32Array(tokenCount * lists * perSide),
    refined: new Float32Array(tokenCount * lists * perSide * rank),
  };
  if (perSide === 0) return result;
  const step = Math.max(1, Math.floor(SCORES_MAX / (lists * rangeLength(range) * rank)));
  const queryLength = groupCount * SIDES * width;
  for (let first = 0; first < tokenCount; first += step) {
    if (first > 0) await breathe();
    const count = Math.min(step, tokenCount - first);
    const query = request.query.subarray(first * queryLength, (first + count) * queryLength);
    const part = { ...request, query, tokenCount: count };
    const scores = deviceScores(binding, keys, part, perSide);
    for (let list = 0; list < lists; list++)
      for (let token = 0; token < count; token++) {
        const into = ((first + token) * lists + list) * perSide;
        if (scores.isExact(list * count + token))
          copyRow(scores, list * count + token, range.start, result, into);
        else {
          scoreOnHost(keys, part, token, list, result, into);
          await breathe();
        }
      }
  }
  return result;
}

function copyRow(
  scores: DeviceScores,
  row: number,
  firstKey: number,
  result: Candidates,
  into: number,
): void {
  const { key, refined, perRow } = scores;
  const rank = refined.length / key.length;
  const { perSide } = result;
  for (let j = 0; j < perSide; j++) result.index[into + j] = firstKey + key[row * perRow + j];
  const from = row * perRow * rank;
  result.refined.set(refined.subarray(from, from + perSide * rank), into * rank);
}

/** All keys of one token and list as the reference scores them: where rounding decides, or scores are equal. */
function scoreOnHost(
  keys: TensorflowKeys,
  request: ScoreRequest,
  token: number,
  list: number,
  result: Candidates,
  into: number,
): void {
  const { rank, range } = keys;
  const { row, column } = request.collapse;
  const refined = scoreAll(keys, request, token, list);
  const collapsed = new Float64Array(rangeLength(range));
  const vector = list % SIDES === 0 ? row : column;
  for (let key = 0; key < collapsed.length; key++)
    collapsed[key] = collapseScore(refined, key * rank, vector, Math.floor(list / SIDES) * rank, rank);
  const best = new Uint32Array(result.perSide);
  topK(collapsed, collapsed.length, best.length, best, 0);
  for (let j = 0; j < best.length; j++) {
    result.index[into + j] = range.start + best[j];
    for (let r = 0; r < rank; r++) result.refined[(into + j) * rank + r] = refined[best[j] * rank + r];
  }
}

/** Refined scores of every key of one list, `[keys, rank]`. */
function scoreAll(keys: TensorflowKeys, request: ScoreRequest, token: number, list: number): Float32Array {
  const { rank, range, width, host } = keys;
  const rows = rangeLength(range) * rank;
  const queryAt = queryStart(request, width, token, list);
  return Float32Array.from({ length: rows }, (_, row) =>
    dot(host, (list * rows + row) * width, request.query, queryAt, width),
  );
}
