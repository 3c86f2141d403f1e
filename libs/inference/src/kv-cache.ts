import type { ModelConfig } from '@ultramem/ultramem';

/**
 * Keys and values of one sequence, for every block. Keys are kept rotated: a token's position never changes, so the
 * numbers are those of rotating them anew at each step.
 */
export interface KvCache {
  /** Tokens whose forward pass is complete. What lies beyond belongs to a pass under way, or to one that failed. */
  length: number;
  readonly blocks: { keys: Float32Array; values: Float32Array }[]; // each [capacity, kvHeads, headWidth]
}

const FIRST_CAPACITY = 64;

export function createKvCache(config: Pick<ModelConfig, 'nLayers'>): KvCache {
  return {
    length: 0,
    blocks: Array.from({ length: config.nLayers }, () => ({
      keys: new Float32Array(0),
      values: new Float32Array(0),
    })),
  };
}

/**
 * Makes room for tokens `0 .. tokenCount - 1` in one block, at least doubling what is too small.
 *
 * @param tokenWidth numbers per token: kvHeads * headWidth
 */
export function reserve(
  cache: KvCache,
  block: number,
  tokenCount: number,
  tokenWidth: number,
): { keys: Float32Array; values: Float32Array } {
  const held = cache.blocks[block];
  if (held.keys.length >= tokenCount * tokenWidth) return held;
  const capacity = Math.max(FIRST_CAPACITY * tokenWidth, 2 * held.keys.length, tokenCount * tokenWidth);
  held.keys = grown(held.keys, capacity);
  held.values = grown(held.values, capacity);
  return held;
}

function grown(old: Float32Array, length: number): Float32Array {
  const larger = new Float32Array(length);
  larger.set(old);
  return larger;
}
