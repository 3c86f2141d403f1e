import { expect, it } from 'vitest';
import { interleave, ownSide, perUnit, type Side } from './interleave.ts';

it('alternates, never runs two sides at once, and does not count the first round', async () => {
  const log: string[] = [];
  const side = (name: string): Side => {
    let call = 0;
    return {
      async time() {
        log.push(`${name} starts`);
        await new Promise((resolve) => setImmediate(resolve));
        log.push(`${name} ends`);
        return [call++, call];
      },
    };
  };
  const pace = { rounds: 2, seconds: 0.01, atLeast: 1, warmUpSeconds: 0, settleMs: 0 };
  const [ours, theirs] = await interleave([side('ours'), side('theirs')], pace);
  const round = ['ours starts', 'ours ends', 'theirs starts', 'theirs ends'];
  expect(log).toEqual([...round, ...round, ...round]);
  expect(ours).toEqual([
    [1, 2],
    [2, 3],
  ]);
  expect(theirs).toEqual(ours);
});

it('passes on what goes wrong', async () => {
  const broken: Side = { time: () => Promise.reject(new Error('it ended')) };
  await expect(
    interleave([broken], { rounds: 1, seconds: 0, atLeast: 1, warmUpSeconds: 0, settleMs: 0 }),
  ).rejects.toThrow('it ended');
});

it('runs a function of this process at least as often as is asked, one call after the other', async () => {
  let running = 0;
  let most = 0;
  const side = ownSide(async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setImmediate(resolve));
    running--;
  });
  const samples = await side.time(0, 5);
  expect(samples).toHaveLength(5);
  expect(samples.every((ms) => ms > 0)).toBe(true);
  expect(most).toBe(1);
});

it('divides by the units of a run', async () => {
  const side = perUnit({ time: async () => [10, 20] }, 5);
  expect(await side.time(0, 1)).toEqual([2, 4]);
});
