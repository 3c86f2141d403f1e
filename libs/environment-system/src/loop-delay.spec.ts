import { expect, it } from 'vitest';
import { watchEventLoop } from './loop-delay.ts';

const after = (delayMs: number) => new Promise<void>((resolve) => void setTimeout(resolve, delayMs));

it('sees how long the event loop was blocked', async () => {
  const loopDelay = watchEventLoop();
  expect(loopDelay()).toBeNull();
  while (loopDelay() === null) await after(5);
  const untilMs = performance.now() + 100;
  while (performance.now() < untilMs);
  await after(15);
  const seen = loopDelay();
  expect(seen?.maxMs).toBeGreaterThan(80);
  expect(seen?.p99Ms).toBeLessThanOrEqual(seen?.maxMs ?? 0);
});
