import { memoryDirectory, openCheckpoint } from '@ultramem/checkpoint';
import {
  createLocalLookup,
  layerVectorCheckpoint,
  loadMemoryLayers,
  verifyLayers,
} from '@ultramem/inference';
import { expect, it } from 'vitest';
import { backends, bytesOf, layerFileNames, vectors } from './recorded.ts';

const cases = layerFileNames().flatMap((name) =>
  backends.map(([backend, create]) => ({ name, backend, create })),
);

it.each(cases)(
  '$name: the $backend kernels select the same slots and add up to the same output',
  async ({ name, create }) => {
    const { files, layers } = layerVectorCheckpoint(bytesOf(new URL(`${name}.safetensors`, vectors)), name);
    const checkpoint = await openCheckpoint(memoryDirectory(name, files), { parts: 'memory' });
    const kernels = create();
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
