import { defineMessage } from '../define-message.ts';
import { NAME_LENGTH_MAX, SOFTWARE_LENGTH_MAX } from '../limits.ts';
import { text, u32 } from '../schema.ts';

/**
 * The coordinator's answer to `hello`.
 *
 * welcome => protocol software clusterId heartbeatMs leaseMs
 *   protocol => u32          the version spoken from here on
 *   software => text
 *   clusterId => text
 *   heartbeatMs => u32       a worker will be asked for a pulse this often
 *   leaseMs => u32           silent for longer than this, either side counts the other as lost
 */
export const welcome = defineMessage({
  kind: 'welcome',
  head: {
    protocol: u32,
    software: text(SOFTWARE_LENGTH_MAX),
    clusterId: text(NAME_LENGTH_MAX),
    heartbeatMs: u32,
    leaseMs: u32,
  },
});
