import type { Kernels } from '@ultramem/kernels';
import {
  addressValues,
  type Candidates,
  type MemoryGeometry,
  queryGroupOfHead,
  type Selection,
  type ValueAddresses,
} from '@ultramem/ultramem';
import type { SelectionWeights } from './load-memory-layers.ts';

/**
 * The best keys of both axes to the winning slots: exact scores on the grid, shuffle, block and slot (SEMANTICS 4.4, 4.5,
 * 5.4, 6). The same code behind local and sharded tables, so that both select alike.
 *
 * @param layer number of the memory layer; decides its window of a shared table
 */
export async function selectSlots(
  kernels: Kernels,
  geometry: MemoryGeometry,
  weights: SelectionWeights,
  layer: number,
  candidates: Candidates,
): Promise<{ selection: Selection; addresses: ValueAddresses }> {
  const selection = await kernels.selectGrid({
    candidates,
    headCount: geometry.headCount,
    keyCount: geometry.keyCount,
    rank: geometry.rank,
    cores: weights.cores,
    coreCount: geometry.coreCount,
  });
  return { selection, addresses: addressValues(geometry, layer, selection.virtualIndex, weights.shuffle) };
}

/** `entryStart` of a batch in which every token has the same number of entries. */
export function evenEntryStart(tokenCount: number, perToken: number): Uint32Array {
  return Uint32Array.from({ length: tokenCount + 1 }, (_, token) => token * perToken);
}

/** The query pair that each head takes, as `scoreKeys` wants it. */
export function groupOfHead(geometry: MemoryGeometry): Uint32Array {
  return Uint32Array.from({ length: geometry.headCount }, (_, head) => queryGroupOfHead(geometry, head));
}
