import { defineMessage } from '../define-message.ts';
import { TEXT_LENGTH_MAX } from '../limits.ts';
import { text, u32 } from '../schema.ts';

/**
 * Asks for the token ids of a text; answered by `tokens`.
 *
 * tokenize => id deadlineMs text
 *   text => text
 */
export const tokenize = defineMessage({
  kind: 'tokenize',
  head: { id: u32, deadlineMs: u32, text: text(TEXT_LENGTH_MAX) },
  answer: 'tokens',
});
