import { defineMessage } from '../define-message.ts';
import { PROMPTS_MAX, TOKEN_TEXT_LENGTH_MAX } from '../limits.ts';
import { f64, list, oneOf, record, text, u32 } from '../schema.ts';

/**
 * Ends a `generate`.
 *
 * generated => id sequences elapsedMs lookupMs hiddenFraction
 *   sequences => [finish tokenCount rest]   one per prompt
 *     finish => 'stop' | 'length' | 'context'   end of text, maxTokens, or a full context
 *     tokenCount => u32                   new tokens
 *     rest => text                        what the last tokens began and did not end, such as half a character
 *   elapsedMs => f64
 *   lookupMs => f64                       memory lookups, from their start to their end
 *   hiddenFraction => f64                 share of lookupMs that passed while the model computed, 0 to 1
 */
export const generated = defineMessage({
  kind: 'generated',
  head: {
    id: u32,
    sequences: list(
      record({
        finish: oneOf('stop', 'length', 'context'),
        tokenCount: u32,
        rest: text(TOKEN_TEXT_LENGTH_MAX),
      }),
      PROMPTS_MAX,
    ),
    elapsedMs: f64,
    lookupMs: f64,
    hiddenFraction: f64,
  },
});
