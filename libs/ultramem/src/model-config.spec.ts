import { describe, expect, it } from 'vitest';
import { parseModelConfig } from './model-config.ts';

const code = (config: unknown): string => {
  try {
    parseModelConfig(config);
    return 'accepted';
  } catch (error) {
    return `${(error as { code?: string }).code}: ${(error as Error).message}`;
  }
};

describe('parseModelConfig', () => {
  it('fills in the defaults of the reference', () => {
    expect(parseModelConfig({})).toMatchObject({
      dModel: 768,
      nHeads: 12,
      nKvHeads: 12,
      mlpHiddenSize: 3072,
      normKind: 'layer',
      memInsertWay: 'full',
    });
  });

  it('lets embedding_size null mean vocab_size and multi_query_attention mean one key/value head', () => {
    expect(
      parseModelConfig({ vocab_size: 100, embedding_size: null, multi_query_attention: true }),
    ).toMatchObject({ embeddingSize: 100, nKvHeads: 1 });
  });

  it.each([
    [null, 'not an object'],
    [{ d_modell: 4 }, 'unknown key "d_modell"'],
    [{ d_model: -1 }, 'd_model is -1; expected a whole number'],
    [{ d_model: '768' }, 'd_model is "768"'],
    [{ rope: 1 }, 'rope is 1; expected true or false'],
    [{ layer_norm_eps: 0 }, 'layer_norm_eps is 0'],
    [{ mem_type: 'memory+' }, 'mem_type is "memory+"'],
    [{ block_type: 'llama' }, 'block_type is "llama"'],
    [{ block_group_size: 2 }, 'block_group_size is 2'],
    [{ d_model: 10, n_heads: 3 }, 'not a multiple of n_heads'],
    [{ n_heads: 12, n_kv_heads: 5 }, 'not a multiple of n_kv_heads'],
    [{ multi_query_attention: true, n_kv_heads: 4 }, 'expected the two to agree'],
    [{ rope: true, alibi: true }, 'rope and alibi'],
    [{ rope: true, d_model: 12, n_heads: 4 }, 'even head width'],
    [{ mlp_hidden_size: 5 }, 'even number'],
    [{ vocab_size: 60000 }, 'smaller than vocab_size'],
    [{ mem_vdim: null }, 'mem_vdim is null'],
    [{ value_dtype: 'int4' }, 'value_dtype is "int4"; expected one of int8_block64'],
    [{ value_dtype: 8 }, 'value_dtype is 8'],
  ])('refuses %j', (config, reason) => {
    expect(code(config)).toMatch(/^CONFIG_INVALID: /);
    expect(code(config)).toContain(reason);
    expect(code(config).split('; ').length).toBeGreaterThanOrEqual(3);
  });
});
