import { memoryDirectory, openCheckpoint } from '@ultramem/checkpoint';
import {
  createLocalLookup,
  layerVectorCheckpoint,
  loadMemoryLayers,
  verifyLayers,
} from '@ultramem/inference';
import { createReferenceKernels } from '@ultramem/kernels';
import { expect, it } from 'vitest';
import { bytesOf, layerFileNames, vectors } from './recorded.ts';

it.each(layerFileNames())(
  '%s: the reference selects the same slots and adds up to the same output',
  async (name) => {
    const { files, layers } = layerVectorCheckpoint(bytesOf(new URL(`${name}.safetensors`, vectors)), name);
    const checkpoint = await openCheckpoint(memoryDirectory(name, files), { parts: 'memory' });
    const kernels = createReferenceKernels();
    const memoryLayers = await loadMemoryLayers(checkpoint, kernels);
    const lookUp = await createLocalLookup({ checkpoint, kernels, memoryLayers });
    const checks = await verifyLayers({ name, layers, memoryLayers, kernels, lookUp });
    expect(checks).toHaveLength(memoryLayers.length);
    for (const check of checks) {
      expect(check).toMatchObject({ ok: true, indicesEqual: true });
      expect(check.maxAbsError).toBeLessThan(1e-5);
      expect(check.maxScoreError).toBeLessThan(1e-4);
      expect(check.maxPooledError).toBeLessThan(1e-4);
    }
  },
);
