import { defineMessage } from '../define-message.ts';
import { notEntryStart, notMultiple } from '../invalid-shape.ts';
import { u32 } from '../schema.ts';

/**
 * Asks for the dot products of pre-value rows (the worker's columns) with their token's query (SEMANTICS 5.5);
 * answered by `dots`. Entries `entryStart[t] .. entryStart[t + 1] - 1` belong to token t.
 *
 * prescore => id deadlineMs epoch layer tokenCount entryStart slot query
 *   entryStart => u32 [tokenCount + 1]
 *   slot => u32 [entries], rows of the whole table
 *   query => f32 [tokenCount, worker's pre-value columns]
 */
export const prescore = defineMessage({
  kind: 'prescore',
  head: { id: u32, deadlineMs: u32, epoch: u32, layer: u32, tokenCount: u32 },
  bulk: { entryStart: 'u32', slot: 'u32', query: 'f32' },
  answer: 'dots',
  invalid: ({ tokenCount, entryStart, slot, query }) =>
    notEntryStart(entryStart, tokenCount, slot.length) ??
    notMultiple('query', query.length, tokenCount, 'tokenCount'),
});
