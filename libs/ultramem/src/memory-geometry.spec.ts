import { describe, expect, it } from 'vitest';
import { memoryGeometry, queryGroupOfHead, virtualValueCount } from './memory-geometry.ts';
import { parseModelConfig } from './model-config.ts';

const geometry = (config: object) => memoryGeometry(parseModelConfig({ n_layers: 4, ...config }));

describe('memoryGeometry', () => {
  it('follows the sizes of SEMANTICS 5.1 for v2', () => {
    // Vector case v2_b: knum 10, 4 layers, share 0.5, key expand 2.
    const v2 = geometry({
      mem_knum: 10,
      mem_share_ratio: 0.5,
      mem_key_expand_time: 2,
      mem_head: 2,
      mem_q_for_each_tucker_rank: true,
      mem_pre_vdim: 16,
    });
    expect(v2).toMatchObject({
      tableRows: 400,
      windowRows: 196,
      windowStride: 100,
      keyCount: 28,
      virtualBlocks: 4,
      poolBlocks: 1,
      preWidth: 16,
      sharedTable: true,
    });
    expect(virtualValueCount(v2!)).toBe(784);
  });

  it('ignores mem_value_expand_time for v1, as the reference does', () => {
    expect(
      geometry({ mem_type: 'ultramem_v1', mem_knum: 128, mem_value_expand_time: 9, mem_insert_way: '0:1' }),
    ).toMatchObject({
      keyCount: 256,
      virtualBlocks: 4,
      poolBlocks: 4,
      tableRows: 16384,
      sharedTable: false,
      preWidth: 0,
    });
  });

  it('gives Memory+ a query for each head', () => {
    const plus = geometry({ mem_type: 'memory_plus', mem_vdim: 768, mem_head: 4 })!;
    expect([0, 1, 2, 3].map((head) => queryGroupOfHead(plus, head))).toEqual([0, 1, 2, 3]);
    expect(plus).toMatchObject({ rank: 1, coreCount: 1, queryGroupCount: 4 });
  });

  it('is null without memory', () => {
    expect(geometry({ mem_insert_way: 'no_mem' })).toBeNull();
  });

  it.each([
    [{ mem_type: 'ultramem_v1', mem_head: 3 }, 'one query for two heads'],
    [{ mem_head: 3 }, 'one query serves two heads'],
    [{ mem_share_ratio: 1.5 }, 'mem_share_ratio is 1.5'],
    [{ mem_share_ratio: 1e-9 }, 'leaves a layer no row'],
    [{ mem_key_expand_time: 2, mem_value_expand_time: 2 }, 'mem_value_expand_time is 2'],
    [{ mem_key_expand_time: 17, mem_value_expand_time: 289 }, 'at most 256'],
    [{ mem_type: 'memory_plus', mem_vdim: 64 }, 'mem_vdim is 64'],
    [{ mem_knum: 8, mem_knn: 20 }, 'mem_knn is 20, but there are only 16 keys'],
    [{ mem_vdim: 33 }, 'multiple of the 2 Tucker cores'],
    [{ attention_layer_norm_with_affine: false }, 'memory norms need their weight'],
    [{ mem_knum: 40000 }, 'fewer than 2^32'],
  ])('refuses %j', (config, reason) => {
    expect(() => geometry(config)).toThrow(reason);
  });
});
