/** Sides of a product key: the row axis and the column axis. */
export const SIDES = 2;

/**
 * The best keys of every token, head and side with their refined scores, best first. Also the answer of the `score`
 * phase, where `perSide` may be below top-k because a worker holds fewer keys.
 */
export interface Candidates {
  tokenCount: number;
  perSide: number;
  index: Uint32Array; // [tokenCount, heads, 2, perSide], key numbers of the whole axis
  refined: Float32Array; // [tokenCount, heads, 2, perSide, rank]
}

/** The rank-1 vectors `tucker_core_u` and `tucker_core_v` that collapse refined scores; all ones for Memory+. */
export interface CollapseVectors {
  row: Float32Array; // u [heads, rank]
  column: Float32Array; // v [heads, rank]
}

/** Winners of every token, head-major, best first (SEMANTICS 4.4). */
export interface Selection {
  tokenCount: number;
  perToken: number;
  virtualIndex: Float64Array; // [tokenCount, perToken] whole numbers below 2^53
  /** Score of each core; after the softmax for Memory+. */
  scores: Float32Array; // [tokenCount, perToken, coreCount]
  /** The sum that ranked the winner. */
  rankScore: Float32Array; // [tokenCount, perToken]
}
