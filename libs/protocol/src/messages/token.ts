import { defineMessage } from '../define-message.ts';
import { TOKEN_TEXT_LENGTH_MAX } from '../limits.ts';
import { text, u32 } from '../schema.ts';

/**
 * One new token of a `generate`, before its `generated`.
 *
 * token => id sequence tokenId text
 *   sequence => u32          which prompt
 *   tokenId => u32
 *   text => text             what it adds to the sequence's text; may be empty while a character is incomplete
 */
export const token = defineMessage({
  kind: 'token',
  head: { id: u32, sequence: u32, tokenId: u32, text: text(TOKEN_TEXT_LENGTH_MAX) },
});
