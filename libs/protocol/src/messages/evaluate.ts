import { defineMessage } from '../define-message.ts';
import { bool, u32 } from '../schema.ts';

/**
 * Asks for the loss on a text; answered by `evaluation`.
 *
 * evaluate => id deadlineMs contextLength withMemory tokenIds
 *   contextLength => u32     tokens per forward pass, at least 1
 *   withMemory => bool       false: memory layers add nothing
 *   tokenIds => u32 [tokens]
 */
export const evaluate = defineMessage({
  kind: 'evaluate',
  head: { id: u32, deadlineMs: u32, contextLength: u32, withMemory: bool },
  bulk: { tokenIds: 'u32' },
  answer: 'evaluation',
  invalid: ({ contextLength }) =>
    contextLength >= 1 ? null : `contextLength is ${contextLength}; expected at least 1`,
});
