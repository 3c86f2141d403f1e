import { expect, it } from 'vitest';
import { Statistics } from './statistics.ts';

it('counts lookups with their latency', () => {
  const statistics = new Statistics();
  expect(statistics.lookups).toBe(0);
  expect(statistics.lookupLatency.percentileMs(50)).toBeNull();
  for (const ms of [1, 2, 9]) statistics.countLookup(ms);
  expect(statistics.lookups).toBe(3);
  expect(statistics.lookupLatency.percentileMs(50)).toBe(2);
});

it('states the hidden fraction of all runs together, and none before the first lookup', () => {
  const statistics = new Statistics();
  expect(statistics.hiddenFraction).toBeNull();
  statistics.countRun({ lookupMs: 0, blockedMs: 0 });
  expect(statistics.hiddenFraction).toBeNull();
  statistics.countRun({ lookupMs: 30, blockedMs: 10 });
  statistics.countRun({ lookupMs: 10, blockedMs: 0 });
  expect(statistics.hiddenFraction).toBe(0.75);
});
