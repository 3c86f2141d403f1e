import {
  int8RowBytes,
  type MemoryGeometry,
  type Range,
  rangeLength,
  SIDES,
  virtualValueCount,
} from '@ultramem/ultramem';
import type { KeysMode } from './keys-mode.ts';
import type { ShardSlice } from './shard.ts';

/** Bytes of an element of a stored table; block-scaled int8 has scales besides. */
export type ElementBytes = 2 | 4 | 'int8_block64';

/** Sizes that the geometry does not tell: element sizes of the stored tables and all dense weights together. */
export interface WeightBytes {
  readonly value: ElementBytes;
  readonly pre: ElementBytes;
  readonly denseBytes: number;
}

/** Bytes that a worker keeps for a slice: value and pre-value rows in their stored dtype, keys as `keyBytes` says. */
export function sliceBytes(geometry: MemoryGeometry, bytes: WeightBytes, slice: ShardSlice): number {
  const rowBytes = sliceRowBytes(bytes, slice);
  const tableCount = geometry.sharedTable ? 1 : geometry.layerCount;
  return (
    tableCount * rangeLength(slice.rows) * rowBytes +
    (slice.keys === null ? 0 : keyBytes(geometry, slice.keys))
  );
}

/** Bytes of one row of a slice, of both tables together. */
export function sliceRowBytes(bytes: WeightBytes, slice: Pick<ShardSlice, 'columns' | 'preColumns'>): number {
  return columnBytes(bytes.value, slice.columns) + columnBytes(bytes.pre, slice.preColumns);
}

function columnBytes(element: ElementBytes, columns: Range): number {
  return element === 'int8_block64' ? int8RowBytes(columns) : rangeLength(columns) * element;
}

/** Kernels keep keys as f32, and pack as much again at most for their first, coarse search. */
const KEY_ELEMENT_BYTES = 8;
/** On processors with matrix units they pack the sum of a key's ranks once more: two bytes a feature, whole steps of 64 features. */
const SPLIT_ELEMENT_BYTES = 2;
const SPLIT_STEP = 64;
/** Narrower keys would be mostly padding. */
const SPLIT_WIDTH_MIN = 48;

/** Bytes that key rows `range` of both axes take, all heads and all layers. */
export function keyBytes(geometry: MemoryGeometry, range: Range): number {
  const { layerCount, headCount, keyWidth, rank } = geometry;
  const steps = keyWidth < SPLIT_WIDTH_MIN ? 0 : Math.ceil(keyWidth / SPLIT_STEP);
  const splitBytes = steps * SPLIT_STEP * SPLIT_ELEMENT_BYTES;
  return (
    layerCount * headCount * SIDES * rangeLength(range) * (keyWidth * rank * KEY_ELEMENT_BYTES + splitBytes)
  );
}

/** Bytes that every coordinator keeps: dense weights, one shuffle a layer, and all keys unless only workers score. */
export function coordinatorBytes(geometry: MemoryGeometry, bytes: WeightBytes, keys: KeysMode): number {
  const allKeys = keys === 'workers' ? 0 : keyBytes(geometry, { start: 0, end: geometry.keyCount });
  return bytes.denseBytes + shuffleBytes(geometry) + allKeys;
}

/** Memory+ has no shuffle; 32-bit entries as long as they can hold every virtual index (`emptyShuffle`). */
function shuffleBytes(geometry: MemoryGeometry): number {
  if (geometry.family === 'memory_plus') return 0;
  const length = virtualValueCount(geometry);
  return geometry.layerCount * length * (length < 2 ** 32 ? 4 : 8);
}
