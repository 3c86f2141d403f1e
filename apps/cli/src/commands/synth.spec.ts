import { expect, it } from 'vitest';
import { synthFacts, synthText } from './synth.ts';
import { configOfFlags } from './synth-config.ts';

it('counts the tables of a family', () => {
  const options = { seed: 7, dtype: 'BF16' } as const;
  const v1 = synthFacts('there', configOfFlags({ family: 'v1', slots: '1M' }), options);
  expect(v1).toMatchObject({
    out: 'there',
    memoryLayers: 2,
    tables: 2,
    rowsPerTable: 1_000_000,
    slots: 2_000_000,
    dtype: 'bf16',
    seed: 7,
  });
  const v2 = synthFacts('there', configOfFlags({ family: 'v2', slots: '600' }), options);
  expect(v2).toMatchObject({ memoryLayers: 6, tables: 1, rowsPerTable: 600, slots: 600 });
  const none = synthFacts('there', configOfFlags({ insert: 'no_mem' }), options);
  expect(none).toMatchObject({ memoryLayers: 0, tables: 0, slots: 0 });
  expect(none.bytes).toBeLessThan(v2.bytes);
  expect(synthText(v1)).toMatch(
    /^wrote there: ultramem_v1, 2 memory layers, 2000000 slots in 2 tables, .* MiB, bf16, seed 7\n.*ultramem inspect --model there$/,
  );
});
