import type { SequenceAttention } from '@ultramem/kernels';
import type { Binding } from './binding.ts';
import { type TensorId, TYPE, typeOf, withTensors } from './tensors.ts';

/** Scores that one call holds in f64: 32 MB. */
const SCORES_MAX = 4e6;

/** Causal softmax attention (SEMANTICS 2.2 step 5) in f64 on the device, `[queryCount, headCount, headWidth]`. */
export async function attend(
  binding: Binding,
  breathe: () => Promise<void>,
  request: SequenceAttention,
): Promise<Float32Array> {
  const { query, queryCount, keyCount, headCount, headWidth } = request;
  const result = new Float32Array(query.length);
  const step = Math.max(1, Math.floor(SCORES_MAX / (headCount * Math.max(1, keyCount))));
  for (let first = 0; first < queryCount; first += step) {
    if (first > 0) await breathe();
    const count = Math.min(step, queryCount - first);
    const size = headCount * headWidth;
    // Keys behind the last of these queries are in its future.
    const part = {
      ...request,
      query: query.subarray(first * size, (first + count) * size),
      queryCount: count,
      keyCount: keyCount - queryCount + first + count,
    };
    result.set(attendPart(binding, part), first * size);
  }
  return result;
}

function attendPart(binding: Binding, request: SequenceAttention): Float32Array {
  const { query, queryCount, keyCount, headCount, kvHeadCount, headWidth } = request;
  const perKv = headCount / kvHeadCount;
  const output = withTensors(binding, (tensors) => {
    const cached = (values: Float32Array): TensorId => {
      const length = keyCount * kvHeadCount * headWidth;
      const stored = tensors.f32([keyCount, kvHeadCount, headWidth], values.subarray(0, length));
      return tensors.cast(tensors.transpose(stored, TYPE.F32, [1, 0, 2]), TYPE.F32, TYPE.F64);
    };
    const queries = tensors.reshape(
      tensors.transpose(tensors.widened([queryCount, headCount, headWidth], query), TYPE.F64, [1, 0, 2]),
      TYPE.F64,
      [kvHeadCount, perKv * queryCount, headWidth],
    );
    const scaled = tensors.multiply(
      tensors.matmul(TYPE.F64, queries, cached(request.keys), true),
      tensors.f64([], Float64Array.of(1 / Math.sqrt(headWidth))),
    );
    const scores = tensors.add(
      tensors.reshape(scaled, TYPE.F64, [headCount, queryCount, keyCount]),
      tensors.f64(...penalties(request)),
    );
    const weights = tensors.run('Softmax', [typeOf('T', TYPE.F64)], [scores]);
    const grouped = tensors.reshape(weights, TYPE.F64, [kvHeadCount, perKv * queryCount, keyCount]);
    return tensors.readF64(tensors.matmul(TYPE.F64, grouped, cached(request.values), false));
  });
  const result = new Float32Array(query.length); // from [headCount, queryCount, headWidth]
  for (let head = 0, at = 0; head < headCount; head++)
    for (let i = 0; i < queryCount; i++, at += headWidth)
      result.set(output.subarray(at, at + headWidth), (i * headCount + head) * headWidth);
  return result;
}

/** Shape and numbers of what is added to the scores: alibi's slope times the distance, and what hides the future. */
function penalties({
  queryCount,
  keyCount,
  headCount,
  alibiSlopes,
}: SequenceAttention): [number[], Float64Array] {
  const heads = alibiSlopes === null ? 1 : headCount;
  const added = new Float64Array(heads * queryCount * keyCount);
  for (let head = 0, at = 0; head < heads; head++)
    for (let i = 0; i < queryCount; i++, at += keyCount) {
      const position = keyCount - queryCount + i;
      const slope = alibiSlopes === null ? 0 : alibiSlopes[head];
      for (let j = 0; j <= position; j++) added[at + j] = -slope * (position - j);
      added.fill(Number.NEGATIVE_INFINITY, at + position + 1, at + keyCount);
    }
  return [[heads, queryCount, keyCount], added];
}
