import { defineMessage } from '../define-message.ts';
import { notMultiple } from '../invalid-shape.ts';
import { u32 } from '../schema.ts';

/**
 * Asks for the best keys of the worker's key rows (SEMANTICS 4.2, 4.3); answered by `candidates`.
 *
 * score => id deadlineMs epoch layer tokenCount groupCount topK query
 *   epoch => u32             of the plan it was routed by
 *   layer => u32             memory layer
 *   groupCount => u32        query pairs of a token
 *   topK => u32              keys per head and side wanted
 *   query => f32 [tokenCount, groupCount, 2, keyWidth]
 */
export const score = defineMessage({
  kind: 'score',
  head: { id: u32, deadlineMs: u32, epoch: u32, layer: u32, tokenCount: u32, groupCount: u32, topK: u32 },
  bulk: { query: 'f32' },
  answer: 'candidates',
  invalid: ({ tokenCount, groupCount, query }) =>
    notMultiple('query', query.length, tokenCount * groupCount * 2, 'tokenCount x groupCount x 2'),
});
