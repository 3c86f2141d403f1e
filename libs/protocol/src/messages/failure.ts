import { defineMessage } from '../define-message.ts';
import { CODE_LENGTH_MAX, REASON_LENGTH_MAX } from '../limits.ts';
import { bool, nullable, text, u32 } from '../schema.ts';

/**
 * Takes the place of an answer.
 *
 * failure => id code message retriable
 *   id => u32 | nil          the request, or nil: about the connection, which ends after it
 *   code => text             of the table in error-codes.ts; unknown ones are possible
 *   message => text          what was wrong; what was expected; what to do
 *   retriable => bool        the same request may succeed later
 */
export const failure = defineMessage({
  kind: 'failure',
  head: { id: nullable(u32), code: text(CODE_LENGTH_MAX), message: text(REASON_LENGTH_MAX), retriable: bool },
});
