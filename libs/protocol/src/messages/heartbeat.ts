import { defineMessage } from '../define-message.ts';
import { ECHO_BYTES_MAX } from '../limits.ts';
import { u32, whole } from '../schema.ts';

/**
 * Asks for a sign of life; answered by `pulse`.
 *
 * heartbeat => id deadlineMs echoBytes
 *   echoBytes => u32         how many bytes the answer shall carry, at most 2^20: to time the link
 */
export const heartbeat = defineMessage({
  kind: 'heartbeat',
  head: { id: u32, deadlineMs: u32, echoBytes: whole(0, ECHO_BYTES_MAX) },
  answer: 'pulse',
});
