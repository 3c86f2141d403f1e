import { assert } from '@ultramem/invariant';
import { dot, type KeyTable, type ScoreRequest } from '@ultramem/kernels';
import { type Candidates, collapseScore, comesBefore, rangeLength, SIDES, topK } from '@ultramem/ultramem';
import type { Binding } from './binding.ts';
import { type FirstChoice, firstChoice } from './first-choice.ts';
import { ownKeys, type TensorflowKeys } from './load-keys.ts';
import { queryStart } from './query-start.ts';

/** Elements of f64 scores that one call holds: 64 MB. */
const SCORES_MAX = 8e6;

/**
 * Refined scores and the best `k` keys of every token, head and side (SEMANTICS 4.2, 4.3), equal to the reference's to the last
 * bit: the device makes a first choice in f32 that is wider than `k`, and its refined scores in f64; what their rounding
 * leaves in doubt is decided here.
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
    const choice = firstChoice(binding, keys, part, perSide);
    for (let token = 0; token < count; token++)
      for (let list = 0; list < lists; list++)
        if (decide(keys, part, choice, token, list, result, first + token)) await breathe();
  }
  return result;
}

function assertScores(keys: TensorflowKeys, request: ScoreRequest): void {
  const { query, tokenCount, groupCount, groupOfHead, collapse } = request;
  const { headCount, width, rank } = keys;
  assert(
    query.length === tokenCount * groupCount * SIDES * width,
    'the query is [tokenCount, groupCount, 2, width]',
  );
  assert(groupOfHead.length === headCount, 'every head has a query group');
  assert(
    groupOfHead.every((group) => group < groupCount),
    'a head takes a query group that is there',
  );
  assert(
    collapse.row.length === headCount * rank && collapse.column.length === headCount * rank,
    'u and v are [heads, rank]',
  );
}

/**
 * Writes the best keys of one token and list to the result. Where the first choice may lack one of them, all keys are scored
 * here.
 *
 * @returns whether that took long
 */
function decide(
  keys: TensorflowKeys,
  request: ScoreRequest,
  choice: FirstChoice,
  token: number,
  list: number,
  into: Candidates,
  intoToken: number,
): boolean {
  const { rank, range, headCount } = keys;
  const { perSide } = into;
  const at = (intoToken * headCount * SIDES + list) * perSide;
  const write = (key: Uint32Array | null, refined: Float32Array, best: Uint32Array): void => {
    for (let j = 0; j < perSide; j++) {
      into.index[at + j] = range.start + (key === null ? best[j] : key[best[j]]);
      for (let r = 0; r < rank; r++) into.refined[(at + j) * rank + r] = refined[best[j] * rank + r];
    }
  };
  const best = new Uint32Array(perSide);
  const first = choice.candidates(token, list);
  if (first !== null) {
    const collapsed = collapse(keys, request, list, first.refined);
    rankCandidates(collapsed, first.key, best);
    if (choice.isComplete(token, list, collapsed[best[perSide - 1]])) {
      write(first.key, first.refined, best);
      return false;
    }
  }
  const refined = scoreAll(keys, request, token, list);
  topK(collapse(keys, request, list, refined), rangeLength(range), perSide, best, 0);
  write(null, refined, best);
  return true;
}

/** Collapsed scores of refined ones `[count, rank]` of one list. */
function collapse(
  { rank }: TensorflowKeys,
  { collapse: { row, column } }: ScoreRequest,
  list: number,
  refined: Float32Array,
): Float64Array {
  const vector = list % SIDES === 0 ? row : column;
  const vectorAt = Math.floor(list / SIDES) * rank;
  const collapsed = new Float64Array(refined.length / rank);
  for (let i = 0; i < collapsed.length; i++)
    collapsed[i] = collapseScore(refined, i * rank, vector, vectorAt, rank);
  return collapsed;
}

/** The places of the best scores, best first, equal ones by key; the scores are nearly in order and not NaN. */
function rankCandidates(score: Float64Array, key: Uint32Array, best: Uint32Array): void {
  for (let i = 0; i < score.length; i++) {
    let place = Math.min(i, best.length);
    while (place > 0 && comesBefore(score[i], key[i], score[best[place - 1]], key[best[place - 1]])) {
      if (place < best.length) best[place] = best[place - 1];
      place--;
    }
    if (place < best.length) best[place] = i;
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
