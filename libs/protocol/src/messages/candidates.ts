import { defineMessage } from '../define-message.ts';
import { notMultiple } from '../invalid-shape.ts';
import { f64, u32 } from '../schema.ts';

/**
 * Answers `score`: per token, head and side the best keys, best first.
 *
 * candidates => id tokenCount perSide computeMs index refined
 *   perSide => u32           the topK asked for, or fewer when the worker holds fewer keys
 *   computeMs => f64         time in the kernels
 *   index => u32 [tokenCount, heads, 2, perSide], key numbers of the whole axis
 *   refined => f32 [tokenCount, heads, 2, perSide, rank]
 */
export const candidates = defineMessage({
  kind: 'candidates',
  head: { id: u32, tokenCount: u32, perSide: u32, computeMs: f64 },
  bulk: { index: 'u32', refined: 'f32' },
  invalid: ({ tokenCount, perSide, index, refined }) =>
    notMultiple('index', index.length, tokenCount * 2 * perSide, 'tokenCount x 2 x perSide') ??
    notMultiple('refined', refined.length, index.length, 'the length of index'),
});
