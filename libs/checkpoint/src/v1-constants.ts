import { type ModelConfig, V1_CONSTANTS, type V1Constants } from '@ultramem/ultramem';
import { invalidCheckpoint } from './invalid-checkpoint.ts';
import type { StoredTensor } from './stored-tensors.ts';
import { memoryTensorName } from './tensor-names.ts';

/**
 * v1's rank, cores and value expansion as the shapes of memory layer 0 show them, because no configuration key holds
 * them (SEMANTICS section 4). Where the tensors are missing the reference's constants stand in: the check of names and
 * shapes that follows reports what is missing.
 *
 * @throws OperatingError CHECKPOINT_INVALID for shapes from which no whole number comes.
 */
export function deriveV1Constants(
  tensors: ReadonlyMap<string, StoredTensor>,
  config: ModelConfig,
): V1Constants {
  const keys = tensors.get(memoryTensorName(0, 'keys'));
  const projection = tensors.get(memoryTensorName(0, 'values_proj.weight'));
  if (config.memFamily !== 'ultramem_v1' || keys === undefined || projection === undefined)
    return V1_CONSTANTS;
  const rank = keys.entry.shape[4] ?? 0;
  if (keys.entry.shape.length !== 5 || rank === 0)
    throw unexpectedShape(keys, '[heads, 2, keys, mem_kdim, rank]');
  const valueExpand = (projection.entry.shape[1] ?? 0) / config.memVdim;
  if (!Number.isInteger(valueExpand) || valueExpand === 0)
    throw unexpectedShape(projection, `[d_model, a multiple of mem_vdim = ${config.memVdim}]`);
  let coreCount = 0;
  while (tensors.has(memoryTensorName(0, `tucker_core.${coreCount}`))) coreCount++;
  return { rank, coreCount: coreCount === 0 ? V1_CONSTANTS.coreCount : coreCount, valueExpand };
}

function unexpectedShape({ entry, fileName }: StoredTensor, expected: string): Error {
  return invalidCheckpoint(
    `${fileName}: tensor ${entry.name} has the shape [${entry.shape.join(', ')}]`,
    expected,
    'take the config.json that belongs to this checkpoint',
  );
}
