import type { MemoryFamily } from '@ultramem/ultramem';

/** Keys of `config.json` that a family does not read, with the value at which they are no surprise (SEMANTICS section 11). */
export const IGNORED_SETTINGS: Readonly<Record<MemoryFamily, Readonly<Record<string, unknown>>>> = {
  ultramem_v1: {
    mem_share_ratio: 1,
    mem_key_expand_time: 1,
    mem_pre_vdim: 512,
    mem_q_for_each_tucker_rank: false,
    mem_use_glu_act: false,
  },
  ultramem_v2: {},
  memory_plus: {
    mem_share_ratio: 1,
    mem_key_expand_time: 1,
    mem_value_expand_time: 1,
    mem_pre_vdim: 512,
    mem_q_for_each_tucker_rank: false,
    mem_use_glu_act: false,
  },
};

/** Keys that no model reads, or that change how the reference computes and not what (SEMANTICS sections 5.7 and 11). */
export const DEAD_SETTINGS: Readonly<Record<string, unknown>> = {
  mem_tucker_rank_penalty: 0.001,
  mem_final_top_expand_time: 1,
  vertical_parallel: false,
  mem_parallel_size: 1,
};

/** Keys that act in training only, with the value at which they do not act. */
export const TRAINING_SETTINGS: Readonly<Record<string, unknown>> = {
  attention_dropout: 0,
  residual_dropout: 0,
  embedding_dropout: 0,
  mem_output_dropout_rate: 0,
  mem_key_balance_reg_coef: 0,
};
