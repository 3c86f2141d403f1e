import { defineMessage } from '../define-message.ts';
import { u32 } from '../schema.ts';

/**
 * Asks how the cluster is; answered by `cluster-status`.
 *
 * status => id deadlineMs
 */
export const status = defineMessage({
  kind: 'status',
  head: { id: u32, deadlineMs: u32 },
  answer: 'cluster-status',
});
