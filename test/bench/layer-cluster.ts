import { openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { present } from '@ultramem/invariant';
import type { MemoryGeometry } from '@ultramem/ultramem';
import type { BenchContext } from './bench-context.ts';
import { layerConfig } from './layer-model.ts';
import { type LocalWorkers, startLocalWorkers } from './local-workers.ts';

export interface LayerCluster extends LocalWorkers {
  /** The checkpoint's. */
  directory: string;
  geometry: MemoryGeometry;
}

/** Runs `use` with a cluster that serves the memory layer of the options' shape, in f32, and stops it whatever happens. */
export async function withLayerCluster(
  context: BenchContext,
  partition: string,
  use: (cluster: LayerCluster) => Promise<void>,
): Promise<void> {
  const { shape, workers: count } = context.options;
  const kernels = await context.kernels();
  const directory = await context.model(layerConfig(shape), 'F32');
  const checkpoint = await openCheckpoint(fileDirectory(directory), { parts: 'all' });
  try {
    const geometry = present(checkpoint.geometry, 'the model has a memory layer');
    const shared = { kernels, checkpoint, model: directory, count, backend: kernels.backend };
    const cluster = await startLocalWorkers({ ...shared, partition });
    try {
      await use({ ...cluster, directory, geometry });
    } finally {
      await cluster.stop();
    }
  } finally {
    await checkpoint.close();
  }
}
