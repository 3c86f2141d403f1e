import type { Checkpoint } from '@ultramem/checkpoint';
import { AssertionError, assert } from '@ultramem/invariant';
import { type Kernels, loadMemoryTables, type MemoryTables } from '@ultramem/kernels';
import type { MemoryLayer } from './load-memory-layers.ts';
import type { LookupAnswer, LookupRequest, MemoryLookup } from './memory-lookup.ts';
import { evenEntryStart, selectByKeys } from './select-slots.ts';

/** All tables in this process: the answer that every cluster's answer is compared with. */
export async function createLocalLookup(options: {
  checkpoint: Checkpoint;
  kernels: Kernels;
  memoryLayers: readonly MemoryLayer[];
}): Promise<MemoryLookup> {
  const { checkpoint, kernels, memoryLayers } = options;
  const { geometry } = checkpoint;
  if (geometry === null) return noMemory;
  const tables = await loadMemoryTables(checkpoint, kernels, {
    keys: { start: 0, end: geometry.keyCount },
    values: {
      rows: { start: 0, end: geometry.tableRows },
      columns: { start: 0, end: geometry.valueWidth },
      preColumns: { start: 0, end: geometry.preWidth },
    },
  });
  return (request) =>
    lookUpLocally(kernels, memoryLayers[request.layer], tables.layers[request.layer], request);
}

async function lookUpLocally(
  kernels: Kernels,
  memoryLayer: MemoryLayer,
  tables: MemoryTables['layers'][number],
  request: LookupRequest,
): Promise<LookupAnswer> {
  const { geometry } = memoryLayer;
  const { tokenCount, preQuery } = request;
  const { keys, values, pre } = tables;
  assert(keys !== null && values !== null, 'the whole tables were loaded');
  const chosen = await selectByKeys(kernels, memoryLayer, keys, request);
  const { selection, addresses } = chosen;
  const pooled = await kernels.pool(values, {
    tokenCount,
    entryStart: evenEntryStart(tokenCount, selection.perToken),
    slot: addresses.slot,
    block: addresses.block,
    blockCount: geometry.poolBlocks,
    weight: selection.scores,
    coreCount: geometry.coreCount,
    pre: pre && preQuery && { table: pre, query: preQuery, activation: geometry.preActivation },
  });
  return { pooled, ...chosen };
}

async function noMemory(): Promise<never> {
  throw new AssertionError('a model without memory layers looks nothing up');
}
