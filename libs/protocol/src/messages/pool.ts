import { defineMessage } from '../define-message.ts';
import { notBelow, notEntryStart, notLength, notMultiple } from '../invalid-shape.ts';
import { POOLED_ENCODINGS } from '../pooled-encoding.ts';
import { bool, oneOf, u32 } from '../schema.ts';

/**
 * Asks for weighted sums of slots by virtual block (SEMANTICS 4.6, 5.5, 5.6); answered by `pooled`. Entries
 * `entryStart[t] .. entryStart[t + 1] - 1` belong to token t.
 *
 * pool => id deadlineMs epoch layer tokenCount blockCount coreCount activation encoding entryStart slot block weight preQuery
 *   activation => bool       v2: gelu on the pre-score; meaningless without preQuery
 *   encoding => 'f32' | 'bf16' | 'int8'   of the answer
 *   entryStart => u32 [tokenCount + 1]
 *   slot => u32 [entries], rows of the whole table
 *   block => u8 [entries], below blockCount
 *   weight => f32 [entries, coreCount]
 *   preQuery => f32 [tokenCount, pre-value width], or empty: weights are final
 */
export const pool = defineMessage({
  kind: 'pool',
  head: {
    id: u32,
    deadlineMs: u32,
    epoch: u32,
    layer: u32,
    tokenCount: u32,
    blockCount: u32,
    coreCount: u32,
    activation: bool,
    encoding: oneOf(...POOLED_ENCODINGS),
  },
  bulk: { entryStart: 'u32', slot: 'u32', block: 'u8', weight: 'f32', preQuery: 'f32' },
  answer: 'pooled',
  invalid: ({ tokenCount, blockCount, coreCount, entryStart, slot, block, weight, preQuery }) =>
    notEntryStart(entryStart, tokenCount, slot.length) ??
    notLength('block', block.length, slot.length, 'the number of slots') ??
    notLength('weight', weight.length, slot.length * coreCount, 'slots x coreCount') ??
    notMultiple('preQuery', preQuery.length, tokenCount, 'tokenCount') ??
    notBelow('block', block, blockCount, 'blockCount'),
});
