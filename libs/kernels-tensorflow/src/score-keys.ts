import { assert } from '@ultramem/invariant';
import { dot, type KeyTable, type ScoreRequest } from '@ultramem/kernels';
import { type Candidates, collapseScore, rangeLength, SIDES, topK } from '@ultramem/ultramem';
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
  const { rank, range } = keys;
  const keyCount = rangeLength(range);
  const { perSide } = into;
  const vector = list % SIDES === 0 ? request.collapse.row : request.collapse.column;
  const head = Math.floor(list / SIDES);
  const rankOf = (
    key: Uint32Array | null,
    refined: Float32Array,
    count: number,
  ): [Uint32Array, Float64Array] => {
    const collapsed = new Float64Array(count);
    for (let i = 0; i < count; i++)
      collapsed[i] = collapseScore(refined, i * rank, vector, head * rank, rank);
    const best = new Uint32Array(perSide);
    topK(collapsed, count, perSide, best, 0, key === null ? undefined : (i) => key[i]);
    return [best, collapsed];
  };
  let candidates: { key: Uint32Array | null; refined: Float32Array } | null = choice.candidates(token, list);
  let best: Uint32Array = new Uint32Array(0);
  if (candidates !== null) {
    const [places, collapsed] = rankOf(candidates.key, candidates.refined, choice.perList);
    best = places;
    if (!choice.isComplete(token, list, collapsed[best[perSide - 1]])) candidates = null;
  }
  const isWide = candidates === null;
  if (candidates === null) {
    candidates = { key: null, refined: scoreAll(keys, request, token, list) };
    best = rankOf(null, candidates.refined, keyCount)[0];
  }
  const { key, refined } = candidates;
  const at = (intoToken * keys.headCount * SIDES + list) * perSide;
  for (let j = 0; j < perSide; j++) {
    into.index[at + j] = range.start + (key === null ? best[j] : key[best[j]]);
    for (let r = 0; r < rank; r++) into.refined[(at + j) * rank + r] = refined[best[j] * rank + r];
  }
  return isWide;
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
