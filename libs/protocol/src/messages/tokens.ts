import { defineMessage } from '../define-message.ts';
import { u32 } from '../schema.ts';

/**
 * Answers `tokenize`.
 *
 * tokens => id tokenIds
 *   tokenIds => u32 [tokens]
 */
export const tokens = defineMessage({ kind: 'tokens', head: { id: u32 }, bulk: { tokenIds: 'u32' } });
