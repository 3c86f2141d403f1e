import { createKvCache, forward, verifyModel } from '@ultramem/inference';
import { describe, expect, it } from 'vitest';
import { backends, loadModel, modelNames, readIo, vectors } from './recorded.ts';

const cases = modelNames().flatMap((name) =>
  backends.map(([backend, create]) => ({ name, backend, create })),
);

describe.each(cases)('$name on the $backend kernels', ({ name, create }) => {
  const directory = new URL(`${name}/`, vectors);
  const io = readIo(directory);
  const [rowCount, width] = io.shape('input_ids') as [number, number];
  const ids = Array.from({ length: rowCount }, (_, row) => [
    ...io.integers('input_ids').subarray(row * width, (row + 1) * width),
  ]);

  it('computes the recorded hidden states and logits, and continues alike', async () => {
    const check = await verifyModel(await loadModel(directory, create()), io, name);
    expect(check).toMatchObject({ ok: true, generatedEqual: true });
    expect(check.maxAbsError).toBeLessThan(1e-4);
    expect(check.maxHiddenError).toBeLessThan(1e-4);
  });

  it('gives the same bits for a sequence alone, in a ragged batch, and token by token', async () => {
    const model = await loadModel(directory, create());
    const { embeddingSize } = model.dense.config;
    const fresh = () => createKvCache(model.dense.config);
    const short = ids[0].slice(0, 7);
    const long = ids[1];
    const together = await forward(model, {
      sequences: [
        { cache: fresh(), tokenIds: short },
        { cache: fresh(), tokenIds: long },
      ],
      logits: 'all',
    });
    const alone = await forward(model, { sequences: [{ cache: fresh(), tokenIds: long }], logits: 'all' });
    expect(together.logits.subarray(short.length * embeddingSize)).toEqual(alone.logits);

    const cache = fresh();
    for (const [i, id] of long.entries()) {
      const step = await forward(model, { sequences: [{ cache, tokenIds: [id] }], logits: 'last' });
      expect(step.logits).toEqual(alone.logits.subarray(i * embeddingSize, (i + 1) * embeddingSize));
    }
  });

  it('depends on its memory', async () => {
    const model = await loadModel(directory, create());
    const sequences = () => [{ cache: createKvCache(model.dense.config), tokenIds: ids[0] }];
    const withMemory = await forward(model, { sequences: sequences(), logits: 'last' });
    const without = await forward(model, { sequences: sequences(), logits: 'last', withMemory: false });
    expect(without.logits).not.toEqual(withMemory.logits);
    expect(withMemory.timing.lookupMs).toBeGreaterThan(0);
    expect(without.timing).toEqual({ lookupMs: 0, blockedMs: 0 });
  });
});
