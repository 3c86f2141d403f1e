import { OperatingError } from '@ultramem/invariant';

export type MemoryFamily = 'ultramem_v1' | 'ultramem_v2' | 'memory_plus';

/** The reference's `config.json`, checked and with its defaults filled in (SEMANTICS section 11). Names in camelCase. */
export interface ModelConfig {
  dModel: number;
  nHeads: number;
  nKvHeads: number;
  nLayers: number;
  /** Output width of `ff_proj`, before swiglu halves it. */
  mlpHiddenSize: number;
  activation: 'swiglu' | 'gelu' | 'relu';
  clipQkv: number | null;
  alibi: boolean;
  alibiBiasMax: number;
  rope: boolean;
  ropeTheta: number;
  attentionLayerNorm: boolean;
  embeddingLayerNorm: boolean;
  normKind: 'rms' | 'layer';
  normEps: number;
  normWeight: boolean;
  attentionNormWeight: boolean;
  normBias: boolean;
  linearBias: boolean;
  normAfter: boolean;
  maxSequenceLength: number;
  scaleLogits: boolean;
  vocabSize: number;
  /** Rows of the embedding table and width of the logits. */
  embeddingSize: number;
  weightTying: boolean;
  eosTokenId: number;
  memFamily: MemoryFamily;
  memInsertWay: string;
  memKnum: number;
  memKdim: number;
  memVdim: number;
  memPreVdim: number;
  memKnn: number;
  memHead: number;
  memShareRatio: number;
  memValueExpandTime: number;
  memKeyExpandTime: number;
  memQForEachTuckerRank: boolean;
  memUseGluAct: boolean;
  /** How value and pre-value tables are stored: null for floats. A key of this runtime, which the reference lacks. */
  valueDtype: 'int8_block64' | null;
}

type Kind = 'count' | 'positive' | 'boolean' | 'number' | 'string' | 'any';

// Every key of the reference's model section, and `value_dtype`, which `ultramem convert` writes: [kind, default, may be null]. Keys
// of kind `any` do not change inference.
const KEYS: Record<string, [kind: Kind, fallback: unknown, nullable?: true]> = {
  d_model: ['count', 768],
  n_heads: ['count', 12],
  n_kv_heads: ['count', null, true],
  multi_query_attention: ['boolean', null, true],
  clip_qkv: ['positive', null, true],
  n_layers: ['count', 12],
  mlp_ratio: ['positive', 4],
  mlp_hidden_size: ['count', null, true],
  activation_type: ['string', 'swiglu'],
  block_type: ['string', 'sequential'],
  block_group_size: ['count', 1],
  alibi: ['boolean', false],
  alibi_bias_max: ['positive', 8],
  rope: ['boolean', false],
  rope_full_precision: ['boolean', true],
  rope_theta: ['positive', 10000],
  flash_attention: ['any', false],
  attention_dropout: ['any', 0.1],
  residual_dropout: ['any', 0.1],
  embedding_dropout: ['any', 0.1],
  attention_layer_norm: ['boolean', false],
  embedding_layer_norm: ['boolean', false],
  layer_norm_type: ['string', 'default'],
  layer_norm_with_affine: ['boolean', true],
  attention_layer_norm_with_affine: ['boolean', true],
  layer_norm_eps: ['positive', 1e-5],
  include_bias: ['boolean', true],
  bias_for_layer_norm: ['boolean', null, true],
  norm_after: ['boolean', false],
  convert2fp32: ['any', true],
  max_sequence_length: ['count', 1024],
  scale_logits: ['boolean', false],
  vocab_size: ['count', 50257],
  embedding_size: ['count', 50304, true],
  weight_tying: ['boolean', true],
  eos_token_id: ['number', 50256],
  pad_token_id: ['any', 50256],
  init_device: ['any', null, true],
  init_fn: ['any', 'normal'],
  init_std: ['any', 0.02],
  init_cutoff_factor: ['any', null, true],
  emb_init_std: ['any', null, true],
  scale_emb_init: ['any', false],
  precision: ['any', null, true],
  moe_num_experts: ['any', 8],
  moe_top_k: ['any', 2],
  moe_mlp_impl: ['any', 'sparse'],
  moe_log_expert_assignment: ['any', true],
  moe_shared_expert: ['any', false],
  moe_lbl_in_fp32: ['any', false],
  moe_interleave: ['any', false],
  moe_loss_weight: ['any', 0.1],
  moe_zloss_weight: ['any', null, true],
  moe_dropless: ['any', true],
  moe_capacity_factor: ['any', 1.25],
  mem_type: ['string', 'ultramem_v2'],
  mem_insert_way: ['string', 'full'],
  mem_knum: ['count', 128],
  mem_kdim: ['count', 512],
  mem_vdim: ['count', 512],
  mem_pre_vdim: ['number', 512],
  mem_knn: ['count', 16],
  mem_head: ['count', 1],
  mem_share_ratio: ['positive', 1],
  mem_value_expand_time: ['count', 1],
  mem_key_expand_time: ['count', 1],
  mem_q_for_each_tucker_rank: ['boolean', false],
  mem_use_glu_act: ['boolean', false],
  mem_key_balance_reg_coef: ['any', 0],
  mem_output_dropout_rate: ['any', 0],
  mem_tucker_rank_penalty: ['any', 0.001],
  mem_final_top_expand_time: ['any', 1],
  mem_log_interval: ['any', 10],
  vertical_parallel: ['any', false],
  mem_parallel_size: ['any', 1],
  value_dtype: ['string', null, true],
};

const EXPECTED: Record<Kind, string> = {
  count: 'a whole number of at least 1',
  positive: 'a number above 0',
  boolean: 'true or false',
  number: 'a whole number of at least 0',
  string: 'a string',
  any: 'any value',
};

/**
 * Checks a parsed `config.json` completely and fills in the reference's defaults.
 *
 * @throws OperatingError CONFIG_INVALID naming the key, the value found and what was expected.
 */
export function parseModelConfig(json: unknown): ModelConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw invalid(
      'config.json is not an object; expected the model section of the reference; take the config.json beside the checkpoint',
    );
  const given = json as Record<string, unknown>;
  const unknown = Object.keys(given).filter((key) => !Object.hasOwn(KEYS, key));
  if (unknown.length > 0)
    throw invalid(
      `config.json has the unknown key ${unknown.map((key) => JSON.stringify(key)).join(', ')}; expected only keys of the reference's model section; remove it or correct its name`,
    );
  const value = <T>(key: string): T => {
    const [kind, fallback, nullable] = KEYS[key];
    const found = given[key] === undefined ? fallback : given[key];
    if (!(found === null && nullable) && !isOfKind(found, kind))
      throw invalid(
        `config.json: ${key} is ${JSON.stringify(found)}; expected ${EXPECTED[kind]}${nullable ? ' or null' : ''}; correct it`,
      );
    return found as T;
  };
  for (const key of Object.keys(KEYS)) value(key);

  const oneOf = <T extends string>(key: string, allowed: readonly T[]): T => {
    const found = value<string>(key);
    if (!allowed.includes(found as T))
      throw invalid(
        `config.json: ${key} is ${JSON.stringify(found)}; expected one of ${allowed.join(', ')}; correct it`,
      );
    return found as T;
  };
  oneOf('block_type', ['sequential']);
  if (value<number>('block_group_size') !== 1)
    throw invalid(
      `config.json: block_group_size is ${value<number>('block_group_size')}; expected 1, the only value the reference runs; set it to 1`,
    );

  const dModel = value<number>('d_model');
  const nHeads = value<number>('n_heads');
  const multiQuery = value<boolean | null>('multi_query_attention');
  const kvHeads = value<number | null>('n_kv_heads');
  if (multiQuery !== null && kvHeads !== null && multiQuery !== (kvHeads === 1))
    throw invalid(
      `config.json: multi_query_attention is ${multiQuery} but n_kv_heads is ${kvHeads}; expected the two to agree; set multi_query_attention to null`,
    );
  const nKvHeads = kvHeads ?? (multiQuery ? 1 : nHeads);
  if (dModel % nHeads !== 0)
    throw invalid(
      `config.json: d_model ${dModel} is not a multiple of n_heads ${nHeads}; expected equal heads; correct one of them`,
    );
  if (nHeads % nKvHeads !== 0)
    throw invalid(
      `config.json: n_heads ${nHeads} is not a multiple of n_kv_heads ${nKvHeads}; expected whole groups; correct one of them`,
    );
  const rope = value<boolean>('rope');
  const alibi = value<boolean>('alibi');
  if (rope && alibi)
    throw invalid(
      'config.json: rope and alibi are both true; expected at most one kind of position; set one to false',
    );
  if (rope && (dModel / nHeads) % 2 !== 0)
    throw invalid(
      `config.json: rope needs an even head width, but d_model / n_heads is ${dModel / nHeads}; expected an even number; correct n_heads`,
    );
  const activation = oneOf('activation_type', ['swiglu', 'gelu', 'relu'] as const);
  const mlpHiddenSize = value<number | null>('mlp_hidden_size') ?? value<number>('mlp_ratio') * dModel;
  if (!Number.isInteger(mlpHiddenSize) || (activation === 'swiglu' && mlpHiddenSize % 2 !== 0))
    throw invalid(
      `config.json: the MLP width is ${mlpHiddenSize}; expected a whole ${activation === 'swiglu' ? 'even ' : ''}number; correct mlp_hidden_size`,
    );
  const vocabSize = value<number>('vocab_size');
  const embeddingSize = value<number | null>('embedding_size') ?? vocabSize;
  if (embeddingSize < vocabSize)
    throw invalid(
      `config.json: embedding_size ${embeddingSize} is smaller than vocab_size ${vocabSize}; expected at least as many rows as tokens; correct it`,
    );
  const layerNormType = oneOf('layer_norm_type', ['rms', 'default', 'low_precision'] as const);
  const normWeight = value<boolean>('layer_norm_with_affine');
  const normBias = value<boolean | null>('bias_for_layer_norm') ?? value<boolean>('include_bias');
  return {
    dModel,
    nHeads,
    nKvHeads,
    nLayers: value('n_layers'),
    mlpHiddenSize,
    activation,
    clipQkv: value('clip_qkv'),
    alibi,
    alibiBiasMax: value('alibi_bias_max'),
    rope,
    ropeTheta: value('rope_theta'),
    attentionLayerNorm: value('attention_layer_norm'),
    embeddingLayerNorm: value('embedding_layer_norm'),
    normKind: layerNormType === 'rms' ? 'rms' : 'layer',
    normEps: value('layer_norm_eps'),
    normWeight,
    attentionNormWeight: value('attention_layer_norm_with_affine'),
    normBias,
    linearBias: value('include_bias'),
    normAfter: value('norm_after'),
    maxSequenceLength: value('max_sequence_length'),
    scaleLogits: value('scale_logits'),
    vocabSize,
    embeddingSize,
    weightTying: value('weight_tying'),
    eosTokenId: value('eos_token_id'),
    memFamily: oneOf('mem_type', ['ultramem_v1', 'ultramem_v2', 'memory_plus'] as const),
    memInsertWay: value('mem_insert_way'),
    memKnum: value('mem_knum'),
    memKdim: value('mem_kdim'),
    memVdim: value('mem_vdim'),
    memPreVdim: value('mem_pre_vdim'),
    memKnn: value('mem_knn'),
    memHead: value('mem_head'),
    memShareRatio: value('mem_share_ratio'),
    memValueExpandTime: value('mem_value_expand_time'),
    memKeyExpandTime: value('mem_key_expand_time'),
    memQForEachTuckerRank: value('mem_q_for_each_tucker_rank'),
    memUseGluAct: value('mem_use_glu_act'),
    valueDtype: value('value_dtype') === null ? null : oneOf('value_dtype', ['int8_block64'] as const),
  };
}

function isOfKind(value: unknown, kind: Kind): boolean {
  switch (kind) {
    case 'count':
      return Number.isSafeInteger(value) && (value as number) >= 1;
    case 'positive':
      return Number.isFinite(value) && (value as number) > 0;
    case 'number':
      return Number.isSafeInteger(value) && (value as number) >= 0;
    case 'boolean':
    case 'string':
      return typeof value === kind;
    case 'any':
      return true;
  }
}

function invalid(message: string): OperatingError {
  return new OperatingError('CONFIG_INVALID', message);
}
