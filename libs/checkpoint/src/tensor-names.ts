import { assert } from '@ultramem/invariant';
import type { MemoryGeometry } from '@ultramem/ultramem';

/** Names of a memory layer's own tensors behind its prefix (SEMANTICS section 10). */
export type MemoryPart =
  | 'keys'
  | 'query_proj.weight'
  | 'values_proj.weight'
  | 'pre_values_proj.weight'
  | 'swilu_projection.weight'
  | `query_norm.${'weight' | 'bias'}`
  | `keys_norm.${'weight' | 'bias'}`
  | `tucker_core.${number}`
  | 'tucker_core_u'
  | 'tucker_core_v'
  | 'shuffle_index'
  | 'values_for_look_up';

export const SHARED_VALUE_TABLE = 'transformer.full_memory_layer.values_for_look_up';

export function memoryTensorName(layer: number, part: MemoryPart): string {
  return `transformer.mem_blocks.${layer}.${part}`;
}

/** The table that memory layer `layer` reads: its own in v1, else the shared one. */
export function valueTableName(geometry: Pick<MemoryGeometry, 'sharedTable'>, layer: number): string {
  return geometry.sharedTable ? SHARED_VALUE_TABLE : memoryTensorName(layer, 'values_for_look_up');
}

/** v2's pre-value table; only for a geometry that has one. */
export function preValueTableName(geometry: Pick<MemoryGeometry, 'preWidth'>): string {
  assert(geometry.preWidth > 0, 'the model has pre-values');
  return 'transformer.full_memory_layer.pre_values_for_look_up';
}
