import { assert, OperatingError } from '@ultramem/invariant';
import { type Candidates, type CollapseVectors, SIDES } from './candidates.ts';
import type { MemoryGeometry } from './memory-geometry.ts';
import { comesBefore } from './top-k.ts';

/**
 * Exact union of the workers' candidates: each part holds the best of its own key rows, so the best `topK` of all keys
 * are among them. The parts' key ranges must not overlap; their order does not matter. Each list is in order already, so the
 * parts are merged, and only what is taken or next is scored.
 *
 * @throws OperatingError NON_FINITE_SCORE when a score is NaN, UNEXPECTED_MESSAGE when a list is not best first.
 */
export function mergeCandidates(
  geometry: MemoryGeometry,
  collapse: CollapseVectors,
  parts: readonly Candidates[],
): Candidates {
  const { headCount, topK: k, rank } = geometry;
  const tokenCount = parts[0].tokenCount;
  assert(
    parts.reduce((sum, part) => sum + part.perSide, 0) >= k,
    'together the parts hold at least top-k keys per axis',
  );
  const merged: Candidates = {
    tokenCount,
    perSide: k,
    index: new Uint32Array(tokenCount * headCount * SIDES * k),
    refined: new Float32Array(tokenCount * headCount * SIDES * k * rank),
  };
  const heads = parts.map((part) => ({ part, entry: 0, end: 0, score: 0, index: 0 }));
  for (let list = 0; list < tokenCount * headCount * SIDES; list++) {
    const vector = list % SIDES === 0 ? collapse.row : collapse.column;
    const vectorAt = (Math.floor(list / SIDES) % headCount) * rank;
    for (const head of heads) {
      head.entry = list * head.part.perSide;
      head.end = head.entry + head.part.perSide;
      look(head, vector, vectorAt, rank);
    }
    for (let at = list * k; at < (list + 1) * k; at++) {
      let best = heads[0];
      for (let p = 1; p < heads.length; p++) {
        const head = heads[p];
        if (comesBefore(head.score, head.index, best.score, best.index)) best = head;
      }
      const { part, entry, score, index } = best;
      merged.index[at] = index;
      for (let r = 0; r < rank; r++) merged.refined[at * rank + r] = part.refined[entry * rank + r];
      best.entry++;
      look(best, vector, vectorAt, rank);
      if (comesBefore(best.score, best.index, score, index)) throw disordered(best.index, index);
    }
  }
  return merged;
}

/** The next key of one part's list; behind everything when there is none. */
interface Head {
  readonly part: Candidates;
  entry: number;
  end: number;
  score: number;
  index: number;
}

function look(head: Head, vector: Float32Array, vectorAt: number, rank: number): void {
  if (head.entry === head.end) {
    head.score = Number.NEGATIVE_INFINITY;
    head.index = Number.POSITIVE_INFINITY;
    return;
  }
  head.score = collapseScore(head.part.refined, head.entry * rank, vector, vectorAt, rank);
  head.index = head.part.index[head.entry];
  if (Number.isNaN(head.score))
    throw new OperatingError(
      'NON_FINITE_SCORE',
      'a score is NaN; expected finite queries and keys; check the checkpoint and the input',
    );
}

function disordered(index: number, before: number): OperatingError {
  return new OperatingError(
    'UNEXPECTED_MESSAGE',
    `a worker listed key ${before} before key ${index}, which scores higher or as high; expected best first; run the same release everywhere`,
  );
}

/**
 * Collapsed score of one key: the refined scores of its ranks, as they travel (f32), times u or v, in f64 (SEMANTICS 4.3).
 * The same function on workers and coordinator, so that both order alike.
 */
export function collapseScore(
  refined: Float32Array,
  at: number,
  vector: Float32Array,
  vectorAt: number,
  rank: number,
): number {
  let sum = 0;
  for (let r = 0; r < rank; r++) sum += refined[at + r] * vector[vectorAt + r];
  return sum;
}
