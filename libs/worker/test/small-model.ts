// Seeded checkpoints that exist only in memory, small enough to be looked up in microtasks.
import { type Checkpoint, memoryDirectory, openCheckpoint, synthCheckpoint } from '@ultramem/checkpoint';

const DENSE = {
  d_model: 8,
  n_heads: 2,
  n_layers: 2,
  mlp_hidden_size: 8,
  vocab_size: 256,
  embedding_size: 256,
  rope: true,
  include_bias: false,
  layer_norm_type: 'rms',
  max_sequence_length: 64,
};

/** One table row for each of 16 slots, 8 keys an axis. */
export const V1_MODEL = {
  ...DENSE,
  mem_type: 'ultramem_v1',
  mem_insert_way: '0:1',
  mem_knum: 4,
  mem_kdim: 6,
  mem_vdim: 8,
  mem_head: 1,
  mem_knn: 2,
};

/** With pre-values, whose dot products travel where columns are cut. */
export const V2_MODEL = {
  ...DENSE,
  mem_type: 'ultramem_v2',
  mem_insert_way: '0:1',
  mem_knum: 6,
  mem_kdim: 6,
  mem_vdim: 8,
  mem_pre_vdim: 8,
  mem_head: 1,
  mem_knn: 2,
  mem_key_expand_time: 1,
  mem_value_expand_time: 1,
};

export async function synthesise(
  config: Record<string, unknown>,
  dtype: 'F32' | 'BF16' = 'F32',
): Promise<Checkpoint> {
  const pieces: Uint8Array[] = [];
  const sink = { write: async (bytes: Uint8Array) => void pieces.push(bytes.slice()) };
  await synthCheckpoint(config, { seed: 1, dtype }, sink);
  const files = new Map<string, string | Uint8Array>([
    ['config.json', JSON.stringify(config)],
    ['model.safetensors', Buffer.concat(pieces)],
  ]);
  return openCheckpoint(memoryDirectory('synthetic', files), { parts: 'all' });
}
