import { defineMessage } from '../define-message.ts';
import { REASON_LENGTH_MAX } from '../limits.ts';
import { text } from '../schema.ts';

/**
 * Says that the sender wants to go and why. A worker serves on until the coordinator has moved its slices and hangs up.
 *
 * leave => reason
 *   reason => text
 */
export const leave = defineMessage({ kind: 'leave', head: { reason: text(REASON_LENGTH_MAX) } });
