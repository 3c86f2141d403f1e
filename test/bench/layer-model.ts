import { type Checkpoint, openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { createRandom } from '@ultramem/environment';
import { loadMemoryLayers, type MemoryLayer } from '@ultramem/inference';
import { type Kernels, loadMemoryTables, type MemoryTables } from '@ultramem/kernels';
import { type MemoryGeometry, SIDES } from '@ultramem/ultramem';
import type { LayerShape } from './options.ts';

/** A v1 model of one memory layer with hardly anything around it: 2 Tucker cores of rank 2, 4 virtual blocks, as published. */
export function layerConfig({ n, k, heads, width, dim }: LayerShape): Record<string, unknown> {
  return {
    ...{ d_model: 64, n_heads: 1, n_layers: 2, mlp_hidden_size: 128, activation_type: 'swiglu', rope: true },
    ...{ layer_norm_type: 'rms', include_bias: false, weight_tying: true, max_sequence_length: 64 },
    ...{ vocab_size: 256, embedding_size: 256, eos_token_id: 0, pad_token_id: 1 },
    ...{ mem_type: 'ultramem_v1', mem_insert_way: '0:1' },
    ...{ mem_knum: n, mem_kdim: width, mem_vdim: dim, mem_head: heads, mem_knn: k },
  };
}

export interface OpenLayer {
  checkpoint: Checkpoint;
  geometry: MemoryGeometry;
  layer: MemoryLayer;
  tables: MemoryTables;
  close(): Promise<void>;
}

/** The first memory layer of a checkpoint with its keys, and its values where they are wanted. */
export async function openLayer(
  kernels: Kernels,
  directory: string,
  parts: { values: boolean },
): Promise<OpenLayer> {
  const checkpoint = await openCheckpoint(fileDirectory(directory), { parts: 'all' });
  const { geometry } = checkpoint;
  const [layer] = await loadMemoryLayers(checkpoint, kernels);
  const tables = await loadMemoryTables(checkpoint, kernels, {
    keys: { start: 0, end: geometry!.keyCount },
    values: parts.values
      ? {
          rows: { start: 0, end: geometry!.tableRows },
          columns: { start: 0, end: geometry!.valueWidth },
          preColumns: { start: 0, end: 0 },
        }
      : null,
  });
  const close = async (): Promise<void> => {
    tables.release();
    await checkpoint.close();
  };
  return { checkpoint, geometry: geometry!, layer: layer!, tables, close };
}

/** Independent normals: what a norm leaves of a hidden state. `[sets, batch, 2, width]` */
export function randomQueries(geometry: MemoryGeometry, batch: number, sets: number): Float32Array {
  return randomNormals(sets * batch * SIDES * geometry.keyWidth, batch);
}

export function randomNormals(length: number, seed: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length }, () => random.normal());
}

/** How many different batches to take in turn, so that no call finds its rows in a cache because the one before read them. */
export function setCount(batch: number, quick: boolean): number {
  return quick ? 2 : Math.max(2, Math.min(64, Math.ceil(1024 / batch)));
}
