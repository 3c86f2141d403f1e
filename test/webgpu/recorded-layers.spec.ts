import { memoryDirectory, openCheckpoint } from '@ultramem/checkpoint';
import {
  createLocalLookup,
  layerVectorCheckpoint,
  loadMemoryLayers,
  verifyLayers,
} from '@ultramem/inference';
import { createWebgpuKernels } from '@ultramem/kernels-webgpu';
import { openWebgpuDevice, probeWebgpu, type WebgpuDevice } from '@ultramem/webgpu-device';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesOf, layerFileNames, vectors } from '../golden/recorded.ts';

const probe = await probeWebgpu();
const title = probe.available ? `on ${probe.detail}` : `without an adapter: ${probe.remedy}`;

describe.skipIf(!probe.available)(`layers computed by the PyTorch reference, ${title}`, () => {
  let opened: WebgpuDevice;
  beforeAll(async () => {
    opened = await openWebgpuDevice();
  });
  afterAll(() => opened.close());

  it.each(layerFileNames())('%s: the same slots, the same sums', async (name) => {
    const { files, layers } = layerVectorCheckpoint(bytesOf(new URL(`${name}.safetensors`, vectors)), name);
    const checkpoint = await openCheckpoint(memoryDirectory(name, files), { parts: 'memory' });
    const kernels = createWebgpuKernels(opened.device);
    const memoryLayers = await loadMemoryLayers(checkpoint, kernels);
    const lookUp = await createLocalLookup({ checkpoint, kernels, memoryLayers });
    const checks = await verifyLayers({ name, layers, memoryLayers, kernels, lookUp });
    expect(checks).toHaveLength(memoryLayers.length);
    for (const check of checks) {
      expect(check).toMatchObject({ ok: true, indicesEqual: true });
      expect(check.maxAbsError).toBeLessThan(1e-5);
      expect(check.maxPooledError).toBeLessThan(1e-4);
    }
  });
});
