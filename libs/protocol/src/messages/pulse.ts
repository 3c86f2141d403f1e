import { defineMessage } from '../define-message.ts';
import { NAME_LENGTH_MAX } from '../limits.ts';
import { f64, nullable, text, u32, u64 } from '../schema.ts';

/**
 * Answers `heartbeat`. Counters run since the start of the process.
 *
 * pulse => id state epoch lookups rowsRead residentBytes processBytes loopDelayP99Ms loopDelayMaxMs echo
 *   state => text            of the worker's state table
 *   epoch => u32             of the slices it serves, 0 before the first
 *   lookups => u64           data-plane requests answered
 *   rowsRead => u64          table rows gathered
 *   residentBytes => u64     held by slices
 *   processBytes => u64      memory of the whole process
 *   loopDelayP99Ms, loopDelayMaxMs => f64 | nil   how late its event loop was, nil where nobody measures it
 *   echo => u8 [echoBytes]   zeros
 */
export const pulse = defineMessage({
  kind: 'pulse',
  head: {
    id: u32,
    state: text(NAME_LENGTH_MAX),
    epoch: u32,
    lookups: u64,
    rowsRead: u64,
    residentBytes: u64,
    processBytes: u64,
    loopDelayP99Ms: nullable(f64),
    loopDelayMaxMs: nullable(f64),
  },
  bulk: { echo: 'u8' },
});
