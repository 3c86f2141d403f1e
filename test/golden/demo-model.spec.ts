import { readFileSync } from 'node:fs';
import { evaluate, generate, type Model, parseSampling, verifyModel } from '@ultramem/inference';
import { beforeAll, describe, expect, it } from 'vitest';
import { backends, bytesOf, demoModel, loadModel, readIo } from './recorded.ts';

interface Greedy {
  prompt_ids: number[];
  greedy_ids: number[];
}

const recorded: { greedy: Greedy[] } = JSON.parse(readFileSync(new URL('io.json', demoModel), 'utf8'));
describe.each(backends)('the demo model on the %s kernels', (_, create) => {
  let model: Model;

  beforeAll(async () => {
    model = await loadModel(demoModel, create());
  });

  it('computes the recorded logits', async () => {
    const check = await verifyModel(model, readIo(demoModel), 'demo-model');
    expect(check).toMatchObject({ ok: true, maxHiddenError: null, generatedEqual: null });
    expect(check.maxAbsError).toBeLessThan(1e-4);
  });

  it('continues all recorded prompts in one ragged batch with the recorded tokens', async () => {
    const options = {
      prompts: recorded.greedy.map((entry) => entry.prompt_ids),
      maxNewTokens: recorded.greedy[0].greedy_ids.length,
      sampling: parseSampling({}),
      seed: 0,
      stopAtEos: false,
    };
    const generated: number[][] = recorded.greedy.map(() => []);
    for await (const { sequence, tokenId } of generate(model, options)) generated[sequence].push(tokenId);
    expect(generated).toEqual(recorded.greedy.map((entry) => entry.greedy_ids));
  });

  it('predicts unseen text better with its memory', async () => {
    // The whole text gives the recorded 1.5376 nats per byte, and 1.9361 without the memory; its start is easier.
    const tokenIds = bytesOf(new URL('validation.txt', demoModel)).subarray(0, 513);
    const withMemory = await evaluate(model, { tokenIds, contextLength: 128 });
    const without = await evaluate(model, { tokenIds, contextLength: 128, withMemory: false });
    expect(withMemory.tokenCount).toBe(512);
    expect(withMemory.lossSum / 512).toBeLessThan(1.5376);
    expect(without.lossSum / 512).toBeGreaterThan(withMemory.lossSum / 512 + 0.2);
  });
});
