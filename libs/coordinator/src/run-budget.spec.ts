import { expect, it } from 'vitest';
import { createRunBudget } from './run-budget.ts';

// 2 layers x 2 x 1 head of 4 numbers x 4 bytes, twice for doubling: 128 bytes a token.
const CONFIG = { nLayers: 2, nKvHeads: 1, nHeads: 2, dModel: 8, maxSequenceLength: 100 };

const held = () => {
  let end: () => void = () => {};
  const wait = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { work: () => wait, end };
};

it('admits runs as long as their caches fit, and gives room back at the end', async () => {
  const budget = createRunBudget(CONFIG, { runsMax: 9, cacheBytesMax: 128 * 150 });
  const first = held();
  const running = budget.run([100], first.work);
  await expect(budget.run([30, 30], async () => 'ran')).rejects.toMatchObject({
    code: 'OVERLOADED',
    retriable: true,
  });
  await expect(budget.run([50], async () => 'ran')).resolves.toBe('ran');
  first.end();
  await running;
  await expect(budget.run([30, 30], async () => 'ran')).resolves.toBe('ran');
});

it('counts no more than the context holds', async () => {
  const budget = createRunBudget(CONFIG, { runsMax: 9, cacheBytesMax: 128 * 100 });
  await expect(budget.run([1e9], async () => 'ran')).resolves.toBe('ran');
});

it('limits the number of runs, and forgets those that failed', async () => {
  const budget = createRunBudget(CONFIG, { runsMax: 1, cacheBytesMax: 1e9 });
  await expect(budget.run([1], () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  const first = held();
  const running = budget.run([1], first.work);
  await expect(budget.run([1], async () => 'ran')).rejects.toThrow('1 generations are under way');
  first.end();
  await running;
});
