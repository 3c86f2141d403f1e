import { dot, type ScoreRequest } from '@ultramem/kernels';
import { rangeLength, SIDES } from '@ultramem/ultramem';
import type { Binding } from './binding.ts';
import { type FoldedKeys, powerOfTwoNear } from './fold-keys.ts';
import type { TensorflowKeys } from './load-keys.ts';
import { queryStart } from './query-start.ts';
import { isSettled, normOf, sumBound } from './settled.ts';
import { boolOf, type TensorId, type Tensors, TYPE, typeOf, withTensors } from './tensors.ts';

/** Keys taken beyond the best `k`, so that rounding near the edge decides nothing. */
const MARGIN = 16;
/**
 * Greatest error of an f32 dot product relative to the norms of its factors: rounding of the folded keys and of the sum in
 * any order; on a GPU, factors cut to TF32 (11 bits) and sums that are cut rather than rounded.
 */
function relativeError(width: number, onGpu: boolean): number {
  const rounding = 1.01 * (width + 4) * 2 ** -24;
  return onGpu ? 2 * rounding + 2 ** -9 : rounding;
}

/** More keys than are asked for, with their exact refined scores, and what is known about the others. */
export interface FirstChoice {
  /** Keys per token and list. */
  perList: number;
  /** Keys, counted from the first of the range, and `[perList, rank]` refined scores; null where f32 says nothing. */
  candidates(token: number, list: number): { key: Uint32Array; refined: Float32Array } | null;
  /** Whether no key outside can reach the collapsed score `last`. */
  isComplete(token: number, list: number, last: number): boolean;
}

/** Queries of one part of the batch, a row for each list and token. */
interface Queries {
  /** `[lists, tokens, width]` in f32, each row times its own power of two. */
  scaled: Float32Array;
  /** `[lists, tokens]` that power, and the norm before it. */
  scale: Float64Array;
  norm: Float64Array;
}

export function firstChoice(
  binding: Binding,
  keys: TensorflowKeys,
  request: ScoreRequest,
  perSide: number,
): FirstChoice {
  const { rank, width, range, headCount } = keys;
  const { tokenCount } = request;
  const keyCount = rangeLength(range);
  const lists = headCount * SIDES;
  const perList = Math.min(keyCount, perSide + MARGIN);
  const folded = keys.folded(request.collapse);
  const queries = scaleQueries(keys, request);
  const { score, key, sums } = withTensors(binding, (tensors) => {
    const query = tensors.f32([lists, tokenCount, width], queries.scaled);
    const scores = tensors.matmul(TYPE.F32, query, folded.tensor, true);
    const [best, place] = tensors.runMany(
      'TopKV2',
      [typeOf('T', TYPE.F32), boolOf('sorted', true)],
      [scores, tensors.i32([], [perList])],
      2,
    );
    return {
      score: tensors.readF32(best),
      key: new Uint32Array(tensors.readI32(place)),
      sums: refinedSums(tensors, keys, request, place),
    };
  });
  const error = relativeError(width, binding.isUsingGpuDevice());
  return {
    perList,
    candidates(token, list) {
      const row = list * tokenCount + token;
      if (!isOrdinary(keys, folded, list, queries.norm[row])) return null;
      const chosen = key.subarray(row * perList, (row + 1) * perList);
      return {
        key: chosen,
        refined: refine(
          keys,
          request,
          { token, list, chosen, norm: queries.norm[row] },
          sums.subarray(row * perList * rank, (row + 1) * perList * rank),
        ),
      };
    },
    isComplete(token, list, last) {
      if (perList === keyCount) return true;
      const row = list * tokenCount + token;
      const scale = queries.scale[row] * folded.scale[list];
      const norm = queries.norm[row] * queries.scale[row];
      // The last term: products so small that they are taken for zero.
      const firstBound = norm * folded.normMax[list] * error + 2 ** -100;
      // Rounding of the refined scores to f32, below its normal numbers too.
      const refinedBound =
        norm * folded.refinedMax[list] * 1.01 * 2 ** -24 +
        folded.vectorSum[list] * queries.scale[row] * 2 ** -149;
      return last * scale > score[(row + 1) * perList - 1] + firstBound + refinedBound;
    },
  };
}

/** Whether scores of this list neither overflow f32 nor are all the same, or NaN. */
function isOrdinary(keys: TensorflowKeys, folded: FoldedKeys, list: number, queryNorm: number): boolean {
  return queryNorm * keys.normMax[list] < 3e38 && folded.normMax[list] > 0 && folded.normMax[list] < Infinity;
}

function scaleQueries({ headCount, width }: TensorflowKeys, request: ScoreRequest): Queries {
  const { query, tokenCount } = request;
  const rows = headCount * SIDES * tokenCount;
  const queries = {
    scaled: new Float32Array(rows * width),
    scale: new Float64Array(rows),
    norm: new Float64Array(rows),
  };
  for (let row = 0; row < rows; row++) {
    const start = queryStart(request, width, row % tokenCount, Math.floor(row / tokenCount));
    const scale = powerOfTwoNear(query.subarray(start, start + width));
    queries.scale[row] = scale;
    queries.norm[row] = normOf(query, start, width);
    for (let c = 0; c < width; c++) queries.scaled[row * width + c] = query[start + c] * scale;
  }
  return queries;
}

/** Sums in f64 of the chosen keys, `[lists, tokens, perList, rank]`, on the device: those of all keys, then a gather. */
function refinedSums(
  tensors: Tensors,
  keys: TensorflowKeys,
  request: ScoreRequest,
  place: TensorId,
): Float64Array {
  const { rank, width, range, headCount, exact } = keys;
  const { query, tokenCount } = request;
  const lists = headCount * SIDES;
  const wide = new Float64Array(lists * tokenCount * width);
  for (let row = 0; row < lists * tokenCount; row++) {
    const start = queryStart(request, width, row % tokenCount, Math.floor(row / tokenCount));
    for (let c = 0; c < width; c++) wide[row * width + c] = query[start + c];
  }
  const all = tensors.matmul(TYPE.F64, tensors.f64([lists, tokenCount, width], wide), exact, true);
  const byKey = tensors.reshape(all, TYPE.F64, [lists, tokenCount, rangeLength(range), rank]);
  return tensors.readF64(tensors.gather(byKey, TYPE.F64, place, TYPE.I32, 2));
}

/** Refined scores of the chosen keys in f32; where the rounding of the device's sums is in doubt, from the keys. */
function refine(
  keys: TensorflowKeys,
  request: ScoreRequest,
  { token, list, chosen, norm }: { token: number; list: number; chosen: Uint32Array; norm: number },
  sums: Float64Array,
): Float32Array {
  const { rank, width, range, host, norms } = keys;
  const queryAt = queryStart(request, width, token, list);
  const refined = new Float32Array(chosen.length * rank);
  for (let i = 0; i < refined.length; i++) {
    const row = (list * rangeLength(range) + chosen[Math.floor(i / rank)]) * rank + (i % rank);
    const settled = isSettled(sums[i], sumBound(width, norm * norms[row]));
    refined[i] = settled ? sums[i] + 0 : dot(host, row * width, request.query, queryAt, width);
  }
  return refined;
}
