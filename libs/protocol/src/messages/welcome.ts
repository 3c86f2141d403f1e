import { defineMessage } from '../define-message.ts';
import { NAME_LENGTH_MAX, SOFTWARE_LENGTH_MAX } from '../limits.ts';
import { text, u32, whole } from '../schema.ts';

/** What timers of common runtimes take; they fire at once for anything longer. */
const timerMs = whole(1, 2 ** 31 - 1);

/**
 * The coordinator's answer to `hello`.
 *
 * welcome => protocol software clusterId heartbeatMs leaseMs
 *   protocol => u32          the version spoken from here on
 *   software => text
 *   clusterId => text
 *   heartbeatMs => u32       above 0 and below 2^31: a worker will be asked for a pulse this often
 *   leaseMs => u32           likewise: silent for longer than this, either side counts the other as lost
 */
export const welcome = defineMessage({
  kind: 'welcome',
  head: {
    protocol: u32,
    software: text(SOFTWARE_LENGTH_MAX),
    clusterId: text(NAME_LENGTH_MAX),
    heartbeatMs: timerMs,
    leaseMs: timerMs,
  },
});
