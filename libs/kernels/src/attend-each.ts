import { assertAttend } from './check-dense.ts';
import type { AttendRequest, AttentionHeads, CachedSequence } from './dense.ts';

/** One sequence of an `AttendRequest`, with its own queries `[queryCount, headCount, headWidth]`. */
export interface SequenceAttention extends AttentionHeads, CachedSequence {
  query: Float32Array;
}

/** A batch of one. */
export function attendAlone(sequence: SequenceAttention): AttendRequest {
  const { query, keys, values, queryCount, keyCount, ...heads } = sequence;
  return { ...heads, query, sequences: [{ keys, values, queryCount, keyCount }] };
}

/** `Kernels.attend` for backends that take sequence by sequence. */
export async function attendEach(
  request: AttendRequest,
  attend: (sequence: SequenceAttention) => Promise<Float32Array>,
): Promise<Float32Array> {
  assertAttend(request);
  const { query, sequences, ...heads } = request;
  const result = new Float32Array(query.length);
  let at = 0;
  for (const sequence of sequences) {
    const end = at + sequence.queryCount * heads.headCount * heads.headWidth;
    result.set(await attend({ ...heads, ...sequence, query: query.subarray(at, end) }), at);
    at = end;
  }
  return result;
}
