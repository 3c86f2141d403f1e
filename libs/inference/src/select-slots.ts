import type { Kernels, KeyTable, SelectedSlots } from '@ultramem/kernels';
import { type Candidates, type MemoryGeometry, queryGroupOfHead } from '@ultramem/ultramem';
import type { SelectionWeights } from './load-memory-layers.ts';
import type { LookupRequest } from './memory-lookup.ts';

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
): Promise<SelectedSlots> {
  const selection = await kernels.selectGrid({
    candidates,
    headCount: geometry.headCount,
    keyCount: geometry.keyCount,
    rank: geometry.rank,
    cores: weights.cores,
    coreCount: geometry.coreCount,
  });
  const { virtualIndex } = selection;
  const addresses = await kernels.address({ geometry, layer, virtualIndex, shuffle: weights.shuffle });
  return { selection, addresses };
}

/** Query to winning slots, for whoever holds every key of the layer; candidates only where they are to be shown. */
export async function selectByKeys(
  kernels: Kernels,
  memoryLayer: { geometry: MemoryGeometry } & SelectionWeights,
  keys: KeyTable,
  { layer, tokenCount, query, explain }: LookupRequest,
): Promise<SelectedSlots & { candidates: Candidates | null }> {
  const { geometry, collapse, cores, shuffle } = memoryLayer;
  const request = {
    query,
    tokenCount,
    groupCount: geometry.queryGroupUsed,
    groupOfHead: groupOfHead(geometry),
    collapse,
    k: geometry.topK,
  };
  if (explain) {
    const candidates = await kernels.scoreKeys(keys, request);
    return { candidates, ...(await selectSlots(kernels, geometry, memoryLayer, layer, candidates)) };
  }
  const addressing = { geometry, layer, shuffle };
  const chosen = await kernels.select(keys, { cores, coreCount: geometry.coreCount, addressing, ...request });
  return { candidates: null, ...chosen };
}

/** `entryStart` of a batch in which every token has the same number of entries. */
export function evenEntryStart(tokenCount: number, perToken: number): Uint32Array {
  return Uint32Array.from({ length: tokenCount + 1 }, (_, token) => token * perToken);
}

/** The query pair that each head takes, as `scoreKeys` wants it. */
export function groupOfHead(geometry: MemoryGeometry): Uint32Array {
  return Uint32Array.from({ length: geometry.headCount }, (_, head) => queryGroupOfHead(geometry, head));
}
