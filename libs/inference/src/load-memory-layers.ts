import {
  type Checkpoint,
  type MemoryPart,
  memoryTensorName,
  readFloats,
  readShuffle,
} from '@ultramem/checkpoint';
import { type Kernels, loadCollapse, type Matrix, type Norm } from '@ultramem/kernels';
import {
  type CollapseVectors,
  type MemoryGeometry,
  type ShuffleIndex,
  virtualValueCount,
} from '@ultramem/ultramem';
import { loadNorm } from './load-model.ts';

/** The part of a memory layer that stays with the forward pass: all but its keys and values. */
export interface MemoryLayer extends SelectionWeights {
  readonly layer: number;
  readonly geometry: MemoryGeometry;
  readonly queryProjection: Matrix; // [queryGroupCount * 2 * keyWidth, modelWidth]
  readonly queryNorm: Norm; // over keyWidth
  readonly preProjection: Matrix | null; // [preWidth, modelWidth], v2 with pre-values
  readonly gateProjection: Matrix | null; // [modelWidth, modelWidth], Memory+ (swilu_projection)
  readonly valueProjection: Matrix; // [modelWidth, poolBlocks * valueWidth]
}

/** What turns scored keys into slots. */
export interface SelectionWeights {
  readonly collapse: CollapseVectors;
  readonly cores: Float32Array | null; // [coreCount, heads, rank, rank]; null for Memory+
  readonly shuffle: ShuffleIndex | null; // null for Memory+
}

/** Loads every memory layer of the model; none when it has no memory. */
export async function loadMemoryLayers(checkpoint: Checkpoint, kernels: Kernels): Promise<MemoryLayer[]> {
  const { geometry } = checkpoint;
  const layers: MemoryLayer[] = [];
  if (geometry !== null)
    for (let layer = 0; layer < geometry.layerCount; layer++)
      layers.push(await loadLayer(checkpoint, kernels, geometry, layer));
  return layers;
}

async function loadLayer(
  checkpoint: Checkpoint,
  kernels: Kernels,
  geometry: MemoryGeometry,
  layer: number,
): Promise<MemoryLayer> {
  const source = (part: MemoryPart) => checkpoint.tensor(memoryTensorName(layer, part));
  return {
    layer,
    geometry,
    queryProjection: await kernels.loadMatrix(source('query_proj.weight')),
    queryNorm: await loadNorm(checkpoint, true, (part) => memoryTensorName(layer, `query_norm.${part}`)),
    preProjection: geometry.preWidth > 0 ? await kernels.loadMatrix(source('pre_values_proj.weight')) : null,
    gateProjection:
      geometry.family === 'memory_plus' ? await kernels.loadMatrix(source('swilu_projection.weight')) : null,
    valueProjection: await kernels.loadMatrix(source('values_proj.weight')),
    ...(await loadSelectionWeights(checkpoint, geometry, layer)),
  };
}

async function loadSelectionWeights(
  checkpoint: Checkpoint,
  geometry: MemoryGeometry,
  layer: number,
): Promise<SelectionWeights> {
  const collapse = await loadCollapse(checkpoint, layer);
  if (geometry.family === 'memory_plus') return { collapse, cores: null, shuffle: null };
  const { headCount, rank, coreCount } = geometry;
  const coreSize = headCount * rank * rank;
  const cores = new Float32Array(coreCount * coreSize);
  for (let core = 0; core < coreCount; core++) {
    const source = checkpoint.tensor(memoryTensorName(layer, `tucker_core.${core}`));
    cores.set(await readFloats(source), core * coreSize);
  }
  const shuffle = checkpoint.tensor(memoryTensorName(layer, 'shuffle_index'));
  return { collapse, cores, shuffle: await readShuffle(shuffle, virtualValueCount(geometry)) };
}
