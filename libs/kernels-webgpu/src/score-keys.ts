import { assert } from '@ultramem/invariant';
import { assertScores, dot, type KeyTable, type ScoreRequest } from '@ultramem/kernels';
import { type Candidates, collapseScore, rangeLength, SIDES, topK } from '@ultramem/ultramem';
import { dispatchProduct, productPipelines } from './batched-product.ts';
import { bestKeysPipeline, dispatchBestKeys, survivorsMax } from './best-keys.ts';
import { exponentOf, largestMagnitude, scoreErrorMax, vectorOfList } from './fold-keys.ts';
import type { Gpu } from './gpu.ts';
import { ownKeys, type WebgpuKeys } from './key-table.ts';

/** Pre-scores of one command list. */
const SCORE_BYTES_MAX = 64 * 2 ** 20;
/** About 20 ms of plain JavaScript. */
const MACS_PER_TURN = 3e7;

/**
 * The best `k` keys of every token, head and side, to the last bit as the reference finds them (SEMANTICS 4.2, 4.3). The device scores all
 * keys about and keeps those that the error bound cannot rule out; the host scores these exactly. Where ties keep too many, there is
 * no bound or no buffer large enough, the host scores the whole list.
 *
 * @param breathe awaited in the middle of long computations on the host
 * @throws OperatingError NON_FINITE_SCORE when a score is NaN.
 */
export async function scoreKeys(
  gpu: Gpu,
  breathe: (() => Promise<void>) | null,
  handle: KeyTable,
  request: ScoreRequest,
): Promise<Candidates> {
  const keys = ownKeys(handle);
  assertScores(keys, request);
  assert(keys.exact.elements.length >= 0, 'a handle is not used after its release');
  const { tokenCount, k } = request;
  const lists = keys.headCount * SIDES;
  const keyCount = rangeLength(keys.range);
  const perSide = Math.min(k, keyCount);
  const result: Candidates = {
    tokenCount,
    perSide,
    index: new Uint32Array(tokenCount * lists * perSide),
    refined: new Float32Array(tokenCount * lists * perSide * keys.rank),
  };
  const refine = createRefiner(keys, request, result);
  const capacity = survivorsMax(perSide);
  const isSmall = keyCount <= capacity || !keys.fitsDevice;
  const tokensPerJob = isSmall
    ? Number.POSITIVE_INFINITY
    : Math.max(1, Math.floor(SCORE_BYTES_MAX / 4 / (lists * keyCount)));
  let macs = 0;
  for (let first = 0; first < tokenCount; first += tokensPerJob) {
    const end = Math.min(tokenCount, first + tokensPerJob);
    const survivors = isSmall ? null : await preselect(gpu, keys, request, { first, end });
    for (let token = first; token < end; token++)
      for (let list = 0; list < lists; list++) {
        macs +=
          refine(token, list, survivors?.((token - first) * lists + list) ?? null) * keys.rank * keys.width;
        if (breathe === null || macs < MACS_PER_TURN) continue;
        macs = 0;
        await breathe();
      }
  }
  return result;
}

/**
 * Keys among which the best of each list are for certain, in ascending order.
 *
 * @returns by `(token - first) * lists + list`; null where the host has to score all of them
 */
async function preselect(
  gpu: Gpu,
  keys: WebgpuKeys,
  request: ScoreRequest,
  { first, end }: { first: number; end: number },
): Promise<(at: number) => Uint32Array | null> {
  const [products, best] = await Promise.all([productPipelines(gpu, 'F32'), bestKeysPipeline(gpu)]);
  const { groupCount, groupOfHead, k } = request;
  const { width, headCount } = keys;
  const lists = headCount * SIDES;
  const keyCount = rangeLength(keys.range);
  const capacity = survivorsMax(Math.min(k, keyCount));
  const tokenCount = end - first;
  // From here to the submission nothing is awaited: the folded keys may be replaced by another call.
  const { folded, parts } = keys.folded(request.collapse);
  const vectorsPerRow = groupCount * SIDES;
  const query = scaledQueries(
    request.query.subarray(first * vectorsPerRow * width, end * vectorsPerRow * width),
    width,
  );
  const vectorOf = Uint32Array.from(
    { length: lists },
    (_, list) => groupOfHead[list >> 1] * SIDES + (list % SIDES),
  );
  const margins = new Float32Array(tokenCount * lists);
  const isUnbounded = new Uint8Array(margins.length);
  for (let at = 0; at < margins.length; at++) {
    const list = at % lists;
    const vector = Math.floor(at / lists) * vectorsPerRow + vectorOf[list];
    const errorMax = scoreErrorMax(
      folded,
      list,
      { norm: query.norm[vector], exponent: query.exponent[vector] },
      width,
    );
    isUnbounded[at] = errorMax < 2 ** 100 ? 0 : 1;
    margins[at] = isUnbounded[at] ? 0 : 2 * errorMax;
  }
  const [bytes] = await gpu.job(async (job) => {
    const x = job.upload(query.vectors);
    const rounds = parts.map((part) => {
      const slice = (whole: Float32Array) => pick(whole, lists, part.first, part.count);
      const scores = job.scratch(tokenCount * part.count * keyCount * 4);
      const survivors = job.scratch(tokenCount * part.count * (1 + capacity) * 4);
      dispatchProduct(job, products, {
        weight: { region: part.region, rowWords: width },
        ...{ lists: part.count, rows: keyCount, columns: width, x, xRows: tokenCount, vectorsPerRow },
        vectorOfList: job.upload(vectorOf.subarray(part.first, part.first + part.count)),
        result: scores,
      });
      const listCount = tokenCount * part.count;
      const margin = job.upload(slice(margins));
      dispatchBestKeys(job, best, { scores, margin, listCount, keyCount, k, capacity, survivors });
      return survivors;
    });
    return [joinParts(await job.read(rounds), parts, tokenCount, lists, 1 + capacity)];
  });
  return (at) => {
    const count = bytes[at * (1 + capacity)];
    if (isUnbounded[at] || count > capacity) return null;
    return bytes.subarray(at * (1 + capacity) + 1, at * (1 + capacity) + 1 + count).sort();
  };
}

/** Columns `first .. first + count - 1` of `[rows, width]`. */
function pick(whole: Float32Array, width: number, first: number, count: number): Float32Array {
  return count === width ? whole : whole.filter((_, i) => i % width >= first && i % width < first + count);
}

/** `[tokens, lists, size]` of parts `[tokens, lists of the part, size]`. */
function joinParts(
  answers: ArrayBuffer[],
  parts: { first: number; count: number }[],
  tokenCount: number,
  lists: number,
  size: number,
): Uint32Array {
  if (answers.length === 1) return new Uint32Array(answers[0]);
  const joined = new Uint32Array(tokenCount * lists * size);
  answers.forEach((answer, p) => {
    const { first, count } = parts[p];
    const words = new Uint32Array(answer);
    for (let token = 0; token < tokenCount; token++)
      joined.set(
        words.subarray(token * count * size, (token + 1) * count * size),
        (token * lists + first) * size,
      );
  });
  return joined;
}

/** Each vector scaled by a power of two to magnitudes around 1. */
function scaledQueries(query: Float32Array, width: number) {
  const count = query.length / width;
  const vectors = new Float32Array(query.length);
  const norm = new Float64Array(count);
  const exponent = new Int32Array(count);
  for (let v = 0; v < count; v++) {
    const vector = query.subarray(v * width, (v + 1) * width);
    exponent[v] = exponentOf(largestMagnitude(vector));
    const scale = 2 ** -exponent[v];
    let square = 0;
    for (let c = 0; c < width; c++) {
      vectors[v * width + c] = vector[c] * scale;
      square += vector[c] * vector[c];
    }
    norm[v] = Math.sqrt(square);
  }
  return { vectors, norm, exponent };
}

/** Scores keys of a token's list exactly (null: all) and writes its best into `result`; says how many it scored. */
function createRefiner(keys: WebgpuKeys, request: ScoreRequest, result: Candidates) {
  const { width, rank, headCount, range } = keys;
  const { elements } = keys.exact;
  const { query, groupCount, groupOfHead, collapse } = request;
  const keyCount = rangeLength(range);
  const { perSide } = result;
  const refined = new Float32Array(keyCount * rank);
  const collapsed = new Float64Array(keyCount);
  const best = new Uint32Array(perSide);
  return (token: number, list: number, survivors: Uint32Array | null): number => {
    const count = survivors === null ? keyCount : survivors.length;
    const group = groupOfHead[list >> 1];
    const queryAt = ((token * groupCount + group) * SIDES + (list % SIDES)) * width;
    const vector = vectorOfList(collapse, list, rank);
    for (let i = 0; i < count; i++) {
      const key = survivors === null ? i : survivors[i];
      for (let r = 0; r < rank; r++)
        refined[i * rank + r] = dot(
          elements,
          ((list * keyCount + key) * rank + r) * width,
          query,
          queryAt,
          width,
        );
      collapsed[i] = collapseScore(refined, i * rank, vector, 0, rank);
    }
    // Survivors ascend, so that equal scores give the smaller key first.
    topK(collapsed, count, perSide, best, 0);
    const at = (token * headCount * SIDES + list) * perSide;
    for (let j = 0; j < perSide; j++) {
      const i = best[j];
      result.index[at + j] = range.start + (survivors === null ? i : survivors[i]);
      for (let r = 0; r < rank; r++) result.refined[(at + j) * rank + r] = refined[i * rank + r];
    }
    return count;
  };
}
