import { defineMessage } from '../define-message.ts';
import { CODE_LENGTH_MAX, REASON_LENGTH_MAX } from '../limits.ts';
import { bool, nullable, text, u32 } from '../schema.ts';

/**
 * Takes the place of an answer.
 *
 * failure => id code message retriable
 *   id => u32 | nil          the request, or nil: about the connection, which ends after it
 *   code => text             of A-Z, 0-9 and _; of the table in error-codes.ts, unknown ones are possible
 *   message => text          what was wrong; what was expected; what to do
 *   retriable => bool        the same request may succeed later
 */
export const failure = defineMessage({
  kind: 'failure',
  head: { id: nullable(u32), code: text(CODE_LENGTH_MAX), message: text(REASON_LENGTH_MAX), retriable: bool },
  // It begins the line that programs print: nothing else may come in with it.
  invalid: ({ code }) =>
    /^[A-Z][A-Z0-9_]*$/.test(code)
      ? null
      : `code is ${JSON.stringify(code)}; expected capitals, digits and _`,
});
