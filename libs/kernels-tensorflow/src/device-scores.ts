import type { ScoreRequest } from '@ultramem/kernels';
import { rangeLength, SIDES } from '@ultramem/ultramem';
import type { Binding } from './binding.ts';
import { type FoldedKeys, powerOfTwoNear } from './fold-keys.ts';
import type { TensorflowKeys } from './load-keys.ts';
import { queryStart } from './query-start.ts';
import { normOf, sumBound } from './settled.ts';
import { type TensorId, type Tensors, TYPE, withTensors } from './tensors.ts';

/** Keys taken beyond the best `k`, so that rounding near the edge decides nothing. */
const MARGIN = 16;

/** The best keys as the device sees them. A row is a list (head and side) and a token: `list * tokenCount + token`. */
export interface DeviceScores {
  /** Keys in a row, at least `k`, best first. */
  perRow: number;
  key: Int32Array; // [rows, perRow], counted from the first of the range
  refined: Float32Array; // [rows, perRow, rank]
  /** Whether the first `k` are the reference's: no rounding in doubt, no equal scores, no other key as good. */
  isExact(row: number): boolean;
}

/** Queries of one part of the batch, a row for each list and token. */
interface Queries {
  wide: Float64Array; // [rows, width]
  scaled: Float32Array; // [rows, width], each row times its own power of two, so that nothing that counts is denormal
  scale: Float64Array; // [rows]
  norm: Float64Array; // [rows], before scaling
}

/**
 * Chooses keys with the folded keys in f32, more than `k` of them, and ranks them by the collapsed scores of their refined
 * scores: sums in f64 in the device's order, rounded to f32; everything after that in the reference's order.
 */
export function deviceScores(
  binding: Binding,
  keys: TensorflowKeys,
  request: ScoreRequest,
  k: number,
): DeviceScores {
  const { range, headCount, rank, width } = keys;
  const { tokenCount } = request;
  const keyCount = rangeLength(range);
  const shape = [headCount * SIDES, tokenCount];
  const taken = Math.min(keyCount, k + MARGIN);
  const perRow = Math.min(taken, k + 1); // one more, to see whether it is as good
  const folded = keys.folded(request.collapse);
  const queries = queriesOf(keys, request);
  const bounds = queries.norm.map((norm, row) =>
    sumBound(width, norm * keys.normMax[Math.floor(row / tokenCount)]),
  );
  const { edge, isSettled, collapsed, key, refined } = withTensors(binding, (tensors) => {
    const first = tensors.matmul(
      TYPE.F32,
      tensors.f32([...shape, width], queries.scaled),
      folded.tensor,
      true,
    );
    const [score, place] = tensors.topK(first, TYPE.F32, taken);
    const all = tensors.matmul(TYPE.F64, tensors.f64([...shape, width], queries.wide), keys.exact, true);
    const byKey = tensors.reshape(all, TYPE.F64, [...shape, keyCount, rank]);
    const sums = tensors.gather(byKey, TYPE.F64, place, TYPE.I32, 2); // [.., taken, rank]
    const rounded = tensors.cast(sums, TYPE.F64, TYPE.F32);
    const [best, order] = tensors.topK(collapse(tensors, request, rounded, rank), TYPE.F64, perRow);
    return {
      edge: tensors.readF32(tensors.slice(score, TYPE.F32, [0, 0, taken - 1], [...shape, 1])),
      isSettled: tensors.readBool(tensors.allSettled(sums, [...shape, 1, 1], bounds)),
      collapsed: tensors.readF64(best),
      key: tensors.readI32(tensors.gather(place, TYPE.I32, order, TYPE.I32, 2)),
      refined: tensors.readF32(tensors.gather(rounded, TYPE.F32, order, TYPE.I32, 2)),
    };
  });
  const error = relativeError(width, binding.isUsingGpuDevice());
  return {
    perRow,
    key,
    refined,
    isExact(row) {
      const list = Math.floor(row / tokenCount);
      if (!isOrdinary(keys, folded, list, queries.norm[row]) || isSettled[row] === 0) return false;
      const at = row * perRow;
      for (let j = 1; j < perRow; j++) if (collapsed[at + j] === collapsed[at + j - 1]) return false;
      if (taken === keyCount) return true;
      const bound = edgeBound(folded, list, queries.norm[row], queries.scale[row], error);
      return collapsed[at + k - 1] * queries.scale[row] * folded.scale[list] > edge[row] + bound;
    },
  };
}

/** `Σ_r u_r refined_r` in the reference's order: from refined scores `[lists, tokens, keys, rank]` to `[lists, tokens, keys]`. */
function collapse(
  tensors: Tensors,
  { collapse: { row, column } }: ScoreRequest,
  refined: TensorId,
  rank: number,
): TensorId {
  const lists = (row.length / rank) * SIDES;
  const parts = tensors.unpack(tensors.cast(refined, TYPE.F32, TYPE.F64), rank, 3);
  const terms = parts.map((part, r) => {
    const vector = Float64Array.from(
      { length: lists },
      (_, list) => (list % SIDES === 0 ? row : column)[Math.floor(list / SIDES) * rank + r],
    );
    return tensors.multiply(part, tensors.f64([lists, 1, 1], vector));
  });
  return terms.reduce((sum, term) => tensors.add(sum, term));
}

function queriesOf({ headCount, width }: TensorflowKeys, request: ScoreRequest): Queries {
  const { query, tokenCount } = request;
  const rows = headCount * SIDES * tokenCount;
  const queries = {
    wide: new Float64Array(rows * width),
    scaled: new Float32Array(rows * width),
    scale: new Float64Array(rows),
    norm: new Float64Array(rows),
  };
  for (let row = 0; row < rows; row++) {
    const start = queryStart(request, width, row % tokenCount, Math.floor(row / tokenCount));
    const scale = powerOfTwoNear(query.subarray(start, start + width));
    queries.scale[row] = scale;
    queries.norm[row] = normOf(query, start, width);
    for (let c = 0; c < width; c++) {
      queries.wide[row * width + c] = query[start + c];
      queries.scaled[row * width + c] = query[start + c] * scale;
    }
  }
  return queries;
}

/** Whether scores of this list neither overflow f32 nor are all the same, or NaN. */
function isOrdinary(keys: TensorflowKeys, folded: FoldedKeys, list: number, queryNorm: number): boolean {
  const largest = folded.normMax[list];
  return queryNorm * keys.normMax[list] < 3e38 && largest > 0 && largest < Number.POSITIVE_INFINITY;
}

/**
 * Greatest error of an f32 dot product relative to the norms of its factors: rounding of the folded keys and of the sum in
 * any order; on a GPU, factors cut to TF32 (11 bits) and sums that are cut rather than rounded.
 */
function relativeError(width: number, onGpu: boolean): number {
  const rounding = 1.01 * (width + 4) * 2 ** -24;
  return onGpu ? 2 * rounding + 2 ** -9 : rounding;
}

/** How far, in scaled units, the collapsed score of a key may lie above its first score in f32. */
function edgeBound(
  folded: FoldedKeys,
  list: number,
  queryNorm: number,
  scale: number,
  error: number,
): number {
  const norm = queryNorm * scale;
  // The last term: products so small that they are taken for zero.
  const ofFirst = norm * folded.normMax[list] * error + 2 ** -100;
  // Rounding of the refined scores to f32, below its normal numbers too.
  const ofRefined =
    norm * folded.refinedMax[list] * 1.01 * 2 ** -24 + folded.vectorSum[list] * scale * 2 ** -149;
  return ofFirst + ofRefined;
}
