import { defineMessage } from '../define-message.ts';
import { f64, u32 } from '../schema.ts';

/**
 * Answers `pool`.
 *
 * pooled => id computeMs pooled
 *   computeMs => f64         time in the kernels
 *   pooled => f32 [tokenCount, blockCount, worker's columns], partial: over the worker's rows
 */
export const pooled = defineMessage({
  kind: 'pooled',
  head: { id: u32, computeMs: f64 },
  bulk: { pooled: 'f32' },
});
