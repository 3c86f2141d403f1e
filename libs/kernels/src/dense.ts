import type { Matrix } from './kernels.ts';

export type Activation = 'swiglu' | 'gelu' | 'relu';
/** F32 is exact. BF16 is what PyTorch multiplies in bf16 models, at up to twice the rate where the processor multiplies pairs of bf16. */
export type ActivationDType = 'F32' | 'BF16';

/** `x weightᵀ + bias` */
export interface Linear {
  readonly weight: Matrix; // [out, in]
  readonly bias: Float32Array | null; // [out]
}

/** The MLP of a block (SEMANTICS 2.2 step 8): `inner`, the non-linearity, `outer`. */
export interface FeedForward {
  readonly inner: Linear; // [hidden, or twice it for swiglu, width]; swiglu's second half is the gate
  readonly activation: Activation;
  readonly outer: Linear; // [width, hidden]
}

/** Cosines and sines of every position and frequency. Feature j of a head goes with feature j + headWidth / 2. */
export interface RopeTable {
  readonly headWidth: number;
  readonly cos: Float32Array; // [positions, headWidth / 2]
  readonly sin: Float32Array; // the same shape
}

export interface AttendRequest extends AttentionHeads {
  query: Float32Array; // [queries of all sequences in turn, headCount, headWidth], rotated
  sequences: readonly CachedSequence[];
}

export interface AttentionHeads {
  headCount: number;
  /** Each key head serves as many neighbouring query heads. */
  kvHeadCount: number;
  headWidth: number;
  /** Slope per head of -|i - j| added to the scores, or null without alibi. */
  alibiSlopes: Float32Array | null;
}

export interface CachedSequence {
  keys: Float32Array; // [at least keyCount, kvHeadCount, headWidth], rotated
  values: Float32Array; // the same shape
  queryCount: number;
  /** Keys in the cache, the new tokens' included: query i stands at position keyCount - queryCount + i. */
  keyCount: number;
}
