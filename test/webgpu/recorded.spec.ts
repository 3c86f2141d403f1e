import { memoryDirectory, openCheckpoint } from '@ultramem/checkpoint';
import {
  createKvCache,
  createLocalLookup,
  forward,
  layerVectorCheckpoint,
  loadMemoryLayers,
  verifyLayers,
  verifyModel,
} from '@ultramem/inference';
import type { Kernels } from '@ultramem/kernels';
import { createWebgpuKernels, requiredLimits } from '@ultramem/kernels-webgpu';
import { openWebgpuDevice, probeWebgpu, type WebgpuDevice } from '@ultramem/webgpu-device';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesOf, demoModel, layerFileNames, loadModel, readIo, vectors } from '../golden/recorded.ts';

const probe = await probeWebgpu();
const title = probe.available ? `on ${probe.detail}` : `without an adapter: ${probe.remedy}`;

describe.skipIf(!probe.available)(`what the PyTorch reference computed, ${title}`, () => {
  let opened: WebgpuDevice;
  let kernels: Kernels;
  beforeAll(async () => {
    opened = await openWebgpuDevice(requiredLimits);
    kernels = createWebgpuKernels(opened.device);
  });
  afterAll(() => opened.close());

  it.each(layerFileNames())('%s: the same slots, the same sums', async (name) => {
    const { files, layers } = layerVectorCheckpoint(bytesOf(new URL(`${name}.safetensors`, vectors)), name);
    const checkpoint = await openCheckpoint(memoryDirectory(name, files), { parts: 'memory' });
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

  // One small model: a step on a software GPU is slow.
  it.each(['model_mp'])('%s: the recorded hidden states, logits and text', async (name) => {
    const directory = new URL(`${name}/`, vectors);
    const check = await verifyModel(await loadModel(directory, kernels), readIo(directory), name);
    expect(check).toMatchObject({ ok: true, generatedEqual: true });
    expect(check.maxAbsError).toBeLessThan(1e-4);
  });

  it('the demonstration model: the recorded logits, and the same bits at once and token by token', async () => {
    const model = await loadModel(demoModel, kernels);
    const check = await verifyModel(model, readIo(demoModel), 'demo-model');
    expect(check).toMatchObject({ ok: true });
    expect(check.maxAbsError).toBeLessThan(1e-4);
    const tokenIds = Array.from({ length: 6 }, (_, i) => (i * 37) % 200);
    const fresh = () => createKvCache(model.dense.config);
    const whole = await forward(model, { sequences: [{ cache: fresh(), tokenIds }], logits: 'all' });
    const cache = fresh();
    const { embeddingSize } = model.dense.config;
    for (const [i, id] of tokenIds.entries()) {
      const step = await forward(model, { sequences: [{ cache, tokenIds: [id] }], logits: 'last' });
      expect(step.logits).toEqual(whole.logits.subarray(i * embeddingSize, (i + 1) * embeddingSize));
    }
  });
});
