import { defineMessage } from '../define-message.ts';
import { u32 } from '../schema.ts';

/**
 * Asks for a sign of life; answered by `pulse`.
 *
 * heartbeat => id deadlineMs
 */
export const heartbeat = defineMessage({
  kind: 'heartbeat',
  head: { id: u32, deadlineMs: u32 },
  answer: 'pulse',
});
