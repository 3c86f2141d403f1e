import type { Range } from '@ultramem/ultramem';

/** What one shard pooled: `[tokens, blocks, columns]` for the tokens it was asked about. */
export interface Partial {
  token: Uint32Array; // positions in the batch
  columns: Range;
  pooled: Float32Array; // [token.length, blockCount, columns]
}

/**
 * Pooled vectors of the batch `[tokenCount, blockCount, width]` from the shards' partials.
 * Column ranges are put side by side; row ranges are added in the order given, in f64, and rounded once. So one row range
 * keeps every bit of one process, and several give the same bits in every run.
 */
export function mergePartials(
  parts: readonly Partial[],
  size: { tokenCount: number; blockCount: number; width: number },
): Float32Array {
  const { blockCount, width } = size;
  // -0 is what changes no number when added, not even another -0.
  const sum = new Float64Array(size.tokenCount * blockCount * width).fill(-0);
  for (const { token, columns, pooled } of parts) {
    const partWidth = columns.end - columns.start;
    for (let i = 0; i < token.length; i++)
      for (let block = 0; block < blockCount; block++) {
        const from = (i * blockCount + block) * partWidth;
        const into = (token[i] * blockCount + block) * width + columns.start;
        for (let c = 0; c < partWidth; c++) sum[into + c] += pooled[from + c];
      }
  }
  return Float32Array.from(sum);
}
