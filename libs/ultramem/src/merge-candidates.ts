import { assert } from '@ultramem/invariant';
import { type Candidates, type CollapseVectors, SIDES } from './candidates.ts';
import type { MemoryGeometry } from './memory-geometry.ts';
import { topK } from './top-k.ts';

/**
 * Exact union of the workers' candidates: each part holds the best of its own key rows, so the best `topK` of all keys
 * are among them. The parts' key ranges must not overlap; their order does not matter.
 */
export function mergeCandidates(
  geometry: MemoryGeometry,
  collapse: CollapseVectors,
  parts: readonly Candidates[],
): Candidates {
  const { headCount, topK: k, rank } = geometry;
  const tokenCount = parts[0].tokenCount;
  const total = parts.reduce((sum, part) => sum + part.perSide, 0);
  assert(total >= k, 'together the parts hold at least top-k keys per axis');
  const merged: Candidates = {
    tokenCount,
    perSide: k,
    index: new Uint32Array(tokenCount * headCount * SIDES * k),
    refined: new Float32Array(tokenCount * headCount * SIDES * k * rank),
  };
  const scores = new Float64Array(total);
  const index = new Uint32Array(total);
  const origin = new Uint32Array(total); // where the refined scores start in `source[i]`
  const source: Float32Array[] = [];
  const best = new Uint32Array(k);
  for (let list = 0; list < tokenCount * headCount * SIDES; list++) {
    const side = list % SIDES;
    const head = Math.floor(list / SIDES) % headCount;
    const vector = side === 0 ? collapse.row : collapse.column;
    let count = 0;
    for (const part of parts)
      for (let i = 0; i < part.perSide; i++, count++) {
        const entry = list * part.perSide + i;
        index[count] = part.index[entry];
        origin[count] = entry * rank;
        source[count] = part.refined;
        scores[count] = collapseScore(part.refined, entry * rank, vector, head * rank, rank);
      }
    topK(scores, count, k, best, 0, (position) => index[position]);
    for (let j = 0; j < k; j++) {
      const from = best[j];
      merged.index[list * k + j] = index[from];
      for (let r = 0; r < rank; r++)
        merged.refined[(list * k + j) * rank + r] = source[from][origin[from] + r];
    }
  }
  return merged;
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
