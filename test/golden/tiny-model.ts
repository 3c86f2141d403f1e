import {
  type Checkpoint,
  expectedTensors,
  memoryDirectory,
  openCheckpoint,
  safetensorsHeader,
} from '@ultramem/checkpoint';
import { createRandom } from '@ultramem/environment';
import { memoryGeometry, parseModelConfig } from '@ultramem/ultramem';
import type { Weights } from './naive-transformer.ts';

/** A model of two blocks with random weights; `settings` are keys of config.json on top of the published experiments' choices. */
export const TINY_SETTINGS = {
  ...{
    d_model: 24,
    n_heads: 4,
    n_layers: 2,
    mlp_hidden_size: 40,
    vocab_size: 30,
    embedding_size: 32,
    eos_token_id: 0,
  },
  ...{
    max_sequence_length: 16,
    rope: true,
    attention_layer_norm: true,
    layer_norm_type: 'rms',
    include_bias: false,
  },
  ...{
    weight_tying: true,
    mem_type: 'ultramem_v1',
    mem_insert_way: 'full',
    mem_knum: 6,
    mem_kdim: 8,
    mem_vdim: 8,
  },
  ...{ mem_knn: 4, mem_head: 2 },
};

export async function openTinyModel(
  settings: Readonly<Record<string, unknown>>,
  seed: number,
): Promise<{ checkpoint: Checkpoint; weights: Weights }> {
  const json = { ...TINY_SETTINGS, ...settings };
  const config = parseModelConfig(json);
  const random = createRandom(seed);
  const weights = new Map<string, { shape: readonly number[]; values: Float32Array }>();
  const expected = expectedTensors(config, memoryGeometry(config)).toSorted(
    (a, b) => Number(b.dtypes.includes('I64')) - Number(a.dtypes.includes('I64')),
  );
  const pieces = expected.map(({ name, shape, dtypes }) => {
    const count = shape.reduce((product, size) => product * size, 1);
    if (dtypes.includes('I64')) return new Uint8Array(shuffled(count, random).buffer);
    const isNormWeight = /norm\.weight$|ln_f\.weight$/.test(name);
    const scale = name.endsWith('.bias')
      ? 0.2
      : isNormWeight
        ? 0.3
        : shape.length === 2
          ? shape[1] ** -0.5
          : 1;
    const values = Float32Array.from(
      { length: count },
      () => (isNormWeight ? 1 : 0) + scale * random.normal(),
    );
    weights.set(name, { shape, values });
    return new Uint8Array(values.buffer);
  });
  const entries = expected.map(
    ({ name, shape, dtypes }) => ({ name, shape, dtype: dtypes.includes('I64') ? 'I64' : 'F32' }) as const,
  );
  const { header } = safetensorsHeader(entries);
  const files = new Map<string, string | Uint8Array>([
    ['config.json', JSON.stringify(json)],
    ['model.safetensors', new Uint8Array(Buffer.concat([header, ...pieces]))],
  ]);
  return { checkpoint: await openCheckpoint(memoryDirectory('tiny', files), { parts: 'all' }), weights };
}

function shuffled(count: number, random: { unit(): number }): BigInt64Array {
  const permutation = BigInt64Array.from({ length: count }, (_, i) => BigInt(i));
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random.unit() * (i + 1));
    [permutation[i], permutation[j]] = [permutation[j], permutation[i]];
  }
  return permutation;
}
