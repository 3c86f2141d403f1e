import { assert } from '@ultramem/invariant';
import { type MemoryGeometry, virtualValueCount } from './memory-geometry.ts';

/** A permutation of 0 .. length - 1; 32 bits an entry where they are enough. */
export type ShuffleIndex = Uint32Array | Float64Array;

/** What of a geometry says where values lie. */
export type ValueWindows = Pick<
  MemoryGeometry,
  'windowRows' | 'windowStride' | 'tableRows' | 'virtualBlocks' | 'poolBlocks'
>;

/** Where the winners of a batch lie: one entry per winner, in the order of the selection. */
export interface ValueAddresses {
  block: Uint8Array; // [tokenCount * winnersPerToken], 0 .. poolBlocks - 1
  slot: Uint32Array; // the same length, rows of the stored table
}

/**
 * Virtual index to (block, slot): z' = shuffle[z], block = z' div Nv, slot = (z' mod Nv + offset) mod A
 * (SEMANTICS 4.5, 5.4). `shuffle` is null for Memory+. Offset and modulo live here and nowhere else.
 */
export function addressValues(
  geometry: ValueWindows,
  layer: number,
  virtualIndex: Float64Array,
  shuffle: ShuffleIndex | null,
): ValueAddresses {
  const { windowRows, tableRows, poolBlocks } = geometry;
  const offset = layer * geometry.windowStride;
  assert(offset < tableRows, 'the window of a layer begins inside the table');
  const virtualCount = virtualValueCount(geometry);
  const slot = new Uint32Array(virtualIndex.length);
  const block = new Uint8Array(slot.length);
  let inside = true;
  for (let i = 0; i < virtualIndex.length; i++) {
    const z = virtualIndex[i];
    const shuffled = shuffle === null ? z : shuffle[z];
    if (!(shuffled >= 0 && shuffled < virtualCount)) inside = false;
    // A small whole quotient and subtractions: a remainder of doubles costs ten times as much.
    const blockOf = (shuffled / windowRows) | 0;
    const row = shuffled - blockOf * windowRows + offset;
    slot[i] = row < tableRows ? row : row - tableRows;
    if (poolBlocks > 1) block[i] = blockOf;
  }
  assert(inside, 'a virtual index lies inside the shuffle');
  return { block, slot };
}
