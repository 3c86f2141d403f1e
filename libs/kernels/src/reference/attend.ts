import type { SequenceAttention } from '../attend-each.ts';
import { dot } from './multiply-rows.ts';
import type { Turns } from './turns.ts';

/**
 * Causal softmax attention (SEMANTICS 2.2 step 5), `[queryCount, headCount, headWidth]`. f64 inside; each query is
 * computed alone, so results do not depend on how many tokens a step has.
 */
export async function attend(turns: Turns, request: SequenceAttention): Promise<Float32Array> {
  const { query, keys, values, queryCount, keyCount, headCount, kvHeadCount, headWidth, alibiSlopes } =
    request;
  const result = new Float32Array(query.length);
  const weights = new Float64Array(keyCount);
  const sums = new Float64Array(headWidth);
  const stride = kvHeadCount * headWidth;
  for (let i = 0; i < queryCount; i++) {
    for (let head = 0; head < headCount; head++) {
      const position = keyCount - queryCount + i;
      const queryAt = (i * headCount + head) * headWidth;
      const headAt = Math.floor(head / (headCount / kvHeadCount)) * headWidth;
      const slope = alibiSlopes === null ? 0 : alibiSlopes[head];
      for (let j = 0; j <= position; j++)
        weights[j] =
          dot(query, queryAt, keys, j * stride + headAt, headWidth) / Math.sqrt(headWidth) -
          slope * (position - j);
      softmax(weights, position + 1);
      sums.fill(0);
      for (let j = 0; j <= position; j++) {
        const weight = weights[j];
        const valueAt = j * stride + headAt;
        for (let c = 0; c < headWidth; c++) sums[c] += weight * values[valueAt + c];
      }
      for (let c = 0; c < headWidth; c++) result[queryAt + c] = sums[c];
    }
    const pause = turns(2 * headCount * keyCount * headWidth);
    if (pause !== null) await pause;
  }
  return result;
}

/** Softmax of `scores[0 .. count - 1]` in place. */
export function softmax(scores: Float64Array, count: number): void {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) largest = Math.max(largest, scores[i]);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    scores[i] = Math.exp(scores[i] - largest);
    sum += scores[i];
  }
  for (let i = 0; i < count; i++) scores[i] /= sum;
}
