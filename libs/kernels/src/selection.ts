import type {
  Candidates,
  CollapseVectors,
  Selection,
  ShuffleIndex,
  ValueAddresses,
  ValueWindows,
} from '@ultramem/ultramem';

export interface ScoreRequest {
  query: Float32Array; // [tokenCount, groupCount, 2, width]
  tokenCount: number;
  groupCount: number;
  /** Which query pair each head takes. */
  groupOfHead: Uint32Array; // [heads]
  collapse: CollapseVectors;
  /** At most this many; fewer when the table holds fewer rows. */
  k: number;
}

export interface GridRequest {
  candidates: Candidates; // perSide = k
  headCount: number;
  keyCount: number;
  rank: number;
  /** `[coreCount, heads, rank, rank]`, or null: row score plus column score, then a softmax over each head's winners (Memory+). */
  cores: Float32Array | null;
  coreCount: number;
}

/** Virtual index to block and slot, for one memory layer. */
export interface Addressing {
  geometry: ValueWindows;
  /** Number of the memory layer; decides its window of a shared table. */
  layer: number;
  /** Null where virtual indices are not shuffled (Memory+). */
  shuffle: ShuffleIndex | null;
}

export interface AddressRequest extends Addressing {
  virtualIndex: Float64Array; // [entries]
}

/** `keys` hold the whole axes: `range` is `0 .. keyCount`. */
export interface SelectRequest extends ScoreRequest {
  /** As in `GridRequest`. */
  cores: Float32Array | null;
  coreCount: number;
  addressing: Addressing;
}

export interface SelectedSlots {
  selection: Selection;
  addresses: ValueAddresses;
}
