import type { Checkpoint } from '@ultramem/checkpoint';
import { type DenseModel, loadDense, loadMemoryLayers, type MemoryLayer } from '@ultramem/inference';
import { assert } from '@ultramem/invariant';
import { type Kernels, type KeyTable, loadMemoryTables } from '@ultramem/kernels';
import type { KeysMode } from '@ultramem/planner';

/** What stays on the coordinator: all but the value tables. */
export interface ResidentModel {
  /** Null where only the memory is served. */
  dense: DenseModel | null;
  memoryLayers: readonly MemoryLayer[];
  /** Keys of each layer; null where only the workers hold them. */
  keys: readonly KeyTable[] | null;
  release(): void;
}

export async function loadResident(
  checkpoint: Checkpoint,
  kernels: Kernels,
  part: { dense: boolean; keys: KeysMode },
  onProgress: (loaded: number, total: number) => void,
): Promise<ResidentModel> {
  const { geometry } = checkpoint;
  assert(geometry !== null, 'the model has memory layers');
  const dense = part.dense ? await loadDense(checkpoint, kernels, onProgress) : null;
  const memoryLayers = await loadMemoryLayers(checkpoint, kernels);
  if (part.keys === 'workers') return { dense, memoryLayers, keys: null, release: () => {} };
  const allKeys = { keys: { start: 0, end: geometry.keyCount }, values: null };
  const tables = await loadMemoryTables(checkpoint, kernels, allKeys, onProgress);
  const keys = tables.layers.map((layer) => {
    assert(layer.keys !== null, 'all keys were asked for');
    return layer.keys;
  });
  return { dense, memoryLayers, keys, release: () => tables.release() };
}
