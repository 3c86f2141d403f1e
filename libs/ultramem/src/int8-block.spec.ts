import { expect, it } from 'vitest';
import { int8RowBytes, scaleCount } from './int8-block.ts';

it.each([
  [0, 0, 0],
  [0, 1, 1],
  [0, 64, 1],
  [0, 65, 2],
  [63, 65, 2],
  [64, 128, 1],
  [100, 100, 0],
  [10, 200, 4],
])('columns %i to %i touch %i blocks', (start, end, blocks) => {
  expect(scaleCount({ start, end })).toBe(blocks);
  expect(int8RowBytes({ start, end })).toBe(end - start + 2 * blocks);
});
