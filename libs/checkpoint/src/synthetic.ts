import { memoryDirectory } from './memory-directory.ts';
import { type Checkpoint, openCheckpoint } from './open-checkpoint.ts';
import { type SynthOptions, synthCheckpoint } from './synth.ts';

// For tests of whoever needs a model: small enough to be looked up in microtasks.
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

/** A seeded checkpoint that exists only in memory; `config` in the reference's keys. */
export async function syntheticCheckpoint(
  config: Record<string, unknown>,
  options: SynthOptions,
): Promise<Checkpoint> {
  const pieces: Uint8Array[] = [];
  await synthCheckpoint(config, options, { write: async (bytes) => void pieces.push(bytes.slice()) });
  const model = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    model.set(piece, at);
    at += piece.length;
  }
  const files = new Map<string, string | Uint8Array>([
    ['config.json', JSON.stringify(config)],
    ['model.safetensors', model],
  ]);
  return openCheckpoint(memoryDirectory('synthetic', files), { parts: 'all' });
}
