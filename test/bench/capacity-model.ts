/**
 * A v2 model whose table has n x n rows of 64 columns and hardly anything around it: as many slots as possible for the bytes,
 * so that a small machine can hold 100 M of them.
 */
export function capacityConfig(n: number): Record<string, unknown> {
  return {
    ...{ d_model: 64, n_heads: 1, n_layers: 1, mlp_hidden_size: 128, activation_type: 'swiglu', rope: true },
    ...{ layer_norm_type: 'rms', include_bias: false, weight_tying: true, max_sequence_length: 64 },
    ...{ vocab_size: 256, embedding_size: 256, eos_token_id: 0, pad_token_id: 1 },
    ...{
      mem_type: 'ultramem_v2',
      mem_insert_way: '0:0',
      mem_knum: n,
      mem_kdim: 192,
      mem_vdim: 64,
      mem_pre_vdim: 0,
    },
    ...{ mem_head: 2, mem_knn: Math.min(n, 80) },
  };
}

/** Slots of the largest table: 12.8 GB of values. */
export const LARGEST_N = 10_000;
