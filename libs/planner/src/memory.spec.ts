import { memoryGeometry, parseModelConfig } from '@ultramem/ultramem';
import { expect, it } from 'vitest';
import { sliceBytes } from './memory.ts';

it('counts the scales of block-scaled int8, also of blocks that a slice cuts', () => {
  const geometry = memoryGeometry(
    parseModelConfig({ mem_type: 'ultramem_v2', mem_vdim: 200, mem_pre_vdim: 0, mem_insert_way: '0:1' }),
  );
  if (geometry === null) throw new Error('the model has memory layers');
  const bytes = { value: 'int8_block64', pre: 4, denseBytes: 0 } as const;
  const slice = (start: number, end: number) => ({
    ...{
      shard: 0,
      rows: { start: 0, end: 10 },
      columns: { start, end },
      preColumns: { start: 0, end: 0 },
      keys: null,
    },
  });
  expect(sliceBytes(geometry, bytes, slice(0, 200))).toBe(10 * (200 + 4 * 2));
  expect(sliceBytes(geometry, bytes, slice(37, 171))).toBe(10 * (134 + 3 * 2));
  expect(sliceBytes(geometry, bytes, slice(64, 128))).toBe(10 * (64 + 2));
});
