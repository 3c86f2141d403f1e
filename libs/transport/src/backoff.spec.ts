import { createRandom } from '@ultramem/environment';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { backoffMs } from './backoff.ts';

it('doubles its bound up to the maximum and draws from the upper half', () => {
  const options = { firstMs: 100, maxMs: 1000 };
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2000 }), fc.nat(), (attempt, seed) => {
      const boundMs = [100, 200, 400, 800][attempt] ?? 1000;
      const delayMs = backoffMs(attempt, options, createRandom(seed));
      expect(delayMs).toBeGreaterThanOrEqual(boundMs / 2);
      expect(delayMs).toBeLessThan(boundMs);
    }),
  );
});

it('keeps peers out of step', () => {
  const delays = [1, 2, 3, 4, 5].map((seed) =>
    backoffMs(3, { firstMs: 100, maxMs: 1000 }, createRandom(seed)),
  );
  expect(new Set(delays).size).toBe(5);
});
