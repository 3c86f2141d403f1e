import { type MemoryGeometry, type Range, rangeLength, SIDES, virtualValueCount } from '@ultramem/ultramem';
import type { KeysMode } from './keys-mode.ts';
import type { ShardSlice } from './shard.ts';

/** Sizes that the geometry does not tell: element sizes of the stored tables and all dense weights together. */
export interface WeightBytes {
  readonly value: 2 | 4;
  readonly pre: 2 | 4;
  readonly denseBytes: number;
}

/** Bytes that a worker keeps for a slice: value and pre-value rows in their stored dtype, keys normalised in f32. */
export function sliceBytes(geometry: MemoryGeometry, bytes: WeightBytes, slice: ShardSlice): number {
  const rowBytes = rangeLength(slice.columns) * bytes.value + rangeLength(slice.preColumns) * bytes.pre;
  const tableCount = geometry.sharedTable ? 1 : geometry.layerCount;
  return (
    tableCount * rangeLength(slice.rows) * rowBytes +
    (slice.keys === null ? 0 : keyBytes(geometry, slice.keys))
  );
}

/** Bytes of key rows `range` of both axes, all heads and all layers, as f32. */
export function keyBytes(geometry: MemoryGeometry, range: Range): number {
  return (
    geometry.layerCount *
    geometry.headCount *
    SIDES *
    rangeLength(range) *
    geometry.keyWidth *
    geometry.rank *
    4
  );
}

/** Bytes that every coordinator keeps: dense weights, one shuffle a layer, and all keys unless only workers score. */
export function coordinatorBytes(geometry: MemoryGeometry, bytes: WeightBytes, keys: KeysMode): number {
  const allKeys = keys === 'workers' ? 0 : keyBytes(geometry, { start: 0, end: geometry.keyCount });
  return bytes.denseBytes + shuffleBytes(geometry) + allKeys;
}

/** Memory+ has no shuffle; 32-bit entries as long as they can hold every virtual index (`parseShuffleIndex`). */
function shuffleBytes(geometry: MemoryGeometry): number {
  if (geometry.family === 'memory_plus') return 0;
  const length = virtualValueCount(geometry);
  return geometry.layerCount * length * (length < 2 ** 32 ? 4 : 8);
}
