import { expect, it } from 'vitest';
import { randomHex, randomSeed } from './random-seed.ts';

it('seeds are whole numbers of 32 bits, hardly ever the same', () => {
  const seeds = Array.from({ length: 100 }, randomSeed);
  for (const seed of seeds) expect(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32).toBe(true);
  expect(new Set(seeds).size).toBeGreaterThan(95);
});

it('names are hex, two digits a byte, and do not meet', () => {
  const names = Array.from({ length: 100 }, () => randomHex(8));
  for (const name of names) expect(name).toMatch(/^[0-9a-f]{16}$/);
  expect(new Set(names).size).toBe(100);
  expect(randomHex(0)).toBe('');
});
