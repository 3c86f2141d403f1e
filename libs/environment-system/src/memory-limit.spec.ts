import { totalmem } from 'node:os';
import { expect, it } from 'vitest';
import { memoryLimitBytes } from './memory-limit.ts';

it('is no more than the machine has', () => {
  expect(memoryLimitBytes()).toBeGreaterThan(2 ** 20);
  expect(memoryLimitBytes()).toBeLessThanOrEqual(totalmem());
});
