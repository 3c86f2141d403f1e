import type { ValueTable } from './kernels.ts';

/** A ragged batch: entries `entryStart[t] .. entryStart[t + 1] - 1` belong to token t. */
export interface EntryList {
  tokenCount: number;
  entryStart: Uint32Array; // [tokenCount + 1]
  slot: Uint32Array; // [entries], rows of the whole table, inside the handle's range
}

export interface PoolRequest extends EntryList {
  block: Uint8Array; // [entries], below blockCount
  blockCount: number;
  weight: Float32Array; // [entries, coreCount]
  coreCount: number;
  /** v2 with whole rows: weights are first multiplied by the gated dot product with the pre-value row of the slot. */
  pre: { table: ValueTable; query: Float32Array /* [tokenCount, width] */; activation: boolean } | null;
}

export interface DotRequest extends EntryList {
  query: Float32Array; // [tokenCount, table columns]
}
