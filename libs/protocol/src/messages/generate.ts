import { defineMessage } from '../define-message.ts';
import { PROMPT_TOKENS_MAX, PROMPTS_MAX, TEXT_LENGTH_MAX } from '../limits.ts';
import { bool, f64, list, nullable, record, text, u32, u64 } from '../schema.ts';

/**
 * Continues prompts. Answered by a `token` for each new token and `generated` at the end.
 *
 * generate => id deadlineMs prompts maxTokens temperature topK topP seed stopAtEos
 *   prompts => [text ids]    exactly one of the two per prompt
 *     text => text | nil
 *     ids => [u32] | nil
 *   maxTokens => u32         new tokens per prompt
 *   temperature => f64       0: always the likeliest token
 *   topK => u32              0: no limit
 *   topP => f64              above 0, up to 1: no limit
 *   seed => u64
 *   stopAtEos => bool
 */
export const generate = defineMessage({
  kind: 'generate',
  head: {
    id: u32,
    deadlineMs: u32,
    prompts: list(
      record({ text: nullable(text(TEXT_LENGTH_MAX)), ids: nullable(list(u32, PROMPT_TOKENS_MAX)) }),
      PROMPTS_MAX,
    ),
    maxTokens: u32,
    temperature: f64,
    topK: u32,
    topP: f64,
    seed: u64,
    stopAtEos: bool,
  },
  answer: 'generated',
  part: 'token',
  invalid: ({ prompts, temperature, topP }) => {
    if (prompts.length === 0) return 'prompts is empty; expected at least one prompt';
    const odd = prompts.findIndex((prompt) => (prompt.text === null) === (prompt.ids === null));
    if (odd >= 0) return `prompts[${odd}] has text and ids both or neither; expected exactly one of them`;
    if (temperature < 0) return `temperature is ${temperature}; expected 0 or more`;
    return topP > 0 && topP <= 1 ? null : `topP is ${topP}; expected above 0 and at most 1`;
  },
});
