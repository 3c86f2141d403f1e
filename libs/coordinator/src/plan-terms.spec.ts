import { syntheticCheckpoint, V1_MODEL, V2_MODEL } from '@ultramem/checkpoint/synthetic';
import { coordinatorBytes } from '@ultramem/planner';
import { expect, it } from 'vitest';
import { ASSUMED_LINK, assumedRates, planTerms } from './plan-terms.ts';

it('takes element sizes and dense bytes from the stored tensors', async () => {
  const checkpoint = await syntheticCheckpoint(V1_MODEL, { seed: 1, dtype: 'F32' });
  const terms = planTerms(checkpoint, 'auto', 'workers');
  let elements = 0;
  for (const [name, { shape }] of checkpoint.tensors)
    if (!name.endsWith('.keys') && !name.includes('values_for_look_up') && !name.endsWith('shuffle_index'))
      elements += shape.reduce((product, length) => product * length, 1);
  expect(terms.bytes).toEqual({ value: 4, pre: 4, denseBytes: 4 * elements });
  expect(terms).toMatchObject({
    partition: 'auto',
    keys: 'workers',
    link: ASSUMED_LINK,
    rates: assumedRates('native'),
  });
  expect(terms.geometry).toBe(checkpoint.geometry);
  // Keys and shuffle are counted by the planner.
  expect(coordinatorBytes(terms.geometry, terms.bytes, 'workers')).toBeGreaterThan(terms.bytes.denseBytes);
});

it('halves what is stored in two bytes, pre-values included', async () => {
  const stored = await syntheticCheckpoint(V2_MODEL, { seed: 1, dtype: 'BF16' });
  expect(planTerms(stored, 'auto', 'auto').bytes).toMatchObject({ value: 2, pre: 2 });
  expect(
    planTerms(await syntheticCheckpoint(V2_MODEL, { seed: 1, dtype: 'F32' }), 'auto', 'auto').bytes,
  ).toMatchObject({ value: 4, pre: 4 });
});

it('expects of every backend what it does', async () => {
  const checkpoint = await syntheticCheckpoint(V1_MODEL, { seed: 1, dtype: 'F32' });
  const reference = planTerms(checkpoint, 'auto', 'auto', 'reference').rates;
  const native = planTerms(checkpoint, 'auto', 'auto', 'native').rates;
  expect(reference).toEqual(assumedRates('reference'));
  expect(native.macsPerSecond).toBeGreaterThan(50 * reference.macsPerSecond);
});

it('is of no use without memory layers', async () => {
  const checkpoint = await syntheticCheckpoint(
    { ...V1_MODEL, mem_insert_way: 'no_mem' },
    { seed: 1, dtype: 'F32' },
  );
  expect(() => planTerms(checkpoint, 'auto', 'auto')).toThrow('memory layers');
});
