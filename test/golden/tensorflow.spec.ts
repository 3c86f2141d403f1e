import { createKvCache, forward, verifyModel } from '@ultramem/inference';
import type { Kernels } from '@ultramem/kernels';
import { createTensorflowKernels, probeTensorflow } from '@ultramem/kernels-tensorflow';
import { beforeAll, describe, expect, it } from 'vitest';
import { demoModel, loadModel, modelNames, readIo, vectors } from './recorded.ts';

const probe = await probeTensorflow();

describe.skipIf(!probe.available)(
  `whole models on TensorFlow${probe.available ? '' : ` (skipped: ${probe.remedy})`}`,
  () => {
    let kernels: Kernels;
    beforeAll(async () => {
      kernels = await createTensorflowKernels({ device: 'cpu' });
    });

    it.each(modelNames())(
      '%s: the recorded hidden states and logits, and the recorded text',
      async (name) => {
        const directory = new URL(`${name}/`, vectors);
        const check = await verifyModel(await loadModel(directory, kernels), readIo(directory), name);
        expect(check).toMatchObject({ ok: true, generatedEqual: true });
        expect(check.maxAbsError).toBeLessThan(1e-4);
      },
    );

    it('the demonstration model: the recorded logits', async () => {
      const check = await verifyModel(await loadModel(demoModel, kernels), readIo(demoModel), 'demo-model');
      expect(check).toMatchObject({ ok: true });
      expect(check.maxAbsError).toBeLessThan(1e-4);
    });

    it('gives the same bits for a prompt at once and token by token', async () => {
      const model = await loadModel(demoModel, kernels);
      const tokenIds = Array.from({ length: 40 }, (_, i) => (i * 37) % 200);
      const fresh = () => createKvCache(model.dense.config);
      const whole = await forward(model, { sequences: [{ cache: fresh(), tokenIds }], logits: 'all' });
      const cache = fresh();
      const { embeddingSize } = model.dense.config;
      for (const [i, id] of tokenIds.entries()) {
        const step = await forward(model, { sequences: [{ cache, tokenIds: [id] }], logits: 'last' });
        expect(step.logits).toEqual(whole.logits.subarray(i * embeddingSize, (i + 1) * embeddingSize));
      }
    });
  },
);
