import { describe, expect, it } from 'vitest';
import { memoryGeometry } from './memory-geometry.ts';
import { parseModelConfig } from './model-config.ts';
import { addressValues } from './value-index.ts';

const geometry = memoryGeometry(
  parseModelConfig({
    n_layers: 3,
    mem_knum: 4,
    mem_share_ratio: 1,
    mem_key_expand_time: 2,
    mem_value_expand_time: 4,
    mem_knn: 4,
  }),
)!; // 48 rows; windows of 36 rows that start at 0, 16, 32; 4 blocks, 144 virtual values

describe('addressValues', () => {
  it('shuffles, then splits into block and row of the layer window, cyclically', () => {
    const shuffle = new Uint32Array(144).map((_, i) => 143 - i);
    const { block, slot } = addressValues(geometry, 2, Float64Array.of(143, 143 - 36, 0), shuffle);
    expect([...block]).toEqual([0, 1, 3]);
    expect([...slot]).toEqual([32, 32, (35 + 32) % 48]);
  });

  it('keeps one block where pooling sums them anyway', () => {
    const summed = { ...geometry, poolBlocks: 1 };
    expect([...addressValues(summed, 0, Float64Array.of(143), new Uint32Array(144).fill(100)).block]).toEqual(
      [0],
    );
  });
});
