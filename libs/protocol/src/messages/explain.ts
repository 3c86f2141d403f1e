import { defineMessage } from '../define-message.ts';
import { TEXT_LENGTH_MAX } from '../limits.ts';
import { nullable, text, u32 } from '../schema.ts';

/**
 * Asks for one lookup explained: rows, columns, winners, owners; answered by `explanation`.
 *
 * explain => id deadlineMs text position layer
 *   text => text
 *   position => u32 | nil    token of the text, nil: the last
 *   layer => u32 | nil       memory layer, nil: the first
 */
export const explain = defineMessage({
  kind: 'explain',
  head: {
    id: u32,
    deadlineMs: u32,
    text: text(TEXT_LENGTH_MAX),
    position: nullable(u32),
    layer: nullable(u32),
  },
  answer: 'explanation',
});
