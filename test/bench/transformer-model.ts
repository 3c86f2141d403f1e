/** A transformer of about 1 B parameters, half of them in two memory layers, as `synth` would write it; tiny when `quick`. */
export function billionConfig(quick: boolean): Record<string, unknown> {
  const width = quick ? 64 : 1536;
  return {
    ...{ d_model: width, n_heads: width / 64, n_layers: quick ? 4 : 24, mlp_hidden_size: 4 * width },
    ...{ activation_type: 'swiglu', rope: true, attention_layer_norm: true, layer_norm_type: 'rms' },
    ...{ include_bias: false, weight_tying: true, max_sequence_length: 1024 },
    ...{ vocab_size: 256, embedding_size: 256, eos_token_id: 0, pad_token_id: 1 },
    ...{ mem_type: 'ultramem_v1', mem_insert_way: quick ? '0:1/2:3' : '7:8/15:16' },
    ...{
      mem_knum: quick ? 32 : 808,
      mem_kdim: quick ? 16 : 192,
      mem_vdim: quick ? 32 : 384,
      mem_head: 2,
      mem_knn: quick ? 8 : 80,
    },
  };
}
