import { expect, it } from 'vitest';
import { LatencyWindow } from './latency-window.ts';

it('gives nearest-rank percentiles, and none before the first sample', () => {
  const window = new LatencyWindow();
  expect(window.percentileMs(50)).toBeNull();
  for (const ms of [30, 10, 20, 40]) window.add(ms);
  expect([0, 25, 50, 75, 99, 100].map((percent) => window.percentileMs(percent))).toEqual([
    10, 10, 20, 30, 40, 40,
  ]);
});

it('forgets what is older than 1024 samples', () => {
  const window = new LatencyWindow();
  window.add(1e6);
  for (let i = 0; i < 1023; i++) window.add(1);
  expect(window.percentileMs(100)).toBe(1e6);
  window.add(2);
  expect(window.percentileMs(100)).toBe(2);
  expect(window.percentileMs(50)).toBe(1);
});
