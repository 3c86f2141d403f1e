import { defineMessage } from '../define-message.ts';
import { u32, u64 } from '../schema.ts';

/**
 * Answers `assign`: the slice is resident and checked.
 *
 * ready => id epoch residentBytes
 *   epoch => u32
 *   residentBytes => u64     what the slice keeps in memory
 */
export const ready = defineMessage({ kind: 'ready', head: { id: u32, epoch: u32, residentBytes: u64 } });
