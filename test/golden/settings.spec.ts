import { beginLookup, createKvCache, finishLookup, forward, type Model } from '@ultramem/inference';
import { expect, it } from 'vitest';
import { type NaiveMemory, naiveLogits, type Weights } from './naive-transformer.ts';
import { modelOf } from './recorded.ts';
import { openTinyModel } from './tiny-model.ts';

// Settings that no recorded model has, each against a second implementation. The name of a case is what it changes.
const CASES: [name: string, settings: Record<string, unknown>][] = [
  ['nothing', {}],
  ['norm_after', { norm_after: true }],
  ['learned positions', { rope: false }],
  ['alibi', { rope: false, alibi: true }],
  ['alibi_bias_max', { rope: false, alibi: true, alibi_bias_max: 4 }],
  ['rope_theta', { rope_theta: 50 }],
  ['embedding norm', { embedding_layer_norm: true }],
  ['gelu', { activation_type: 'gelu' }],
  ['relu', { activation_type: 'relu' }],
  ['clip_qkv', { clip_qkv: 0.5 }],
  ['scale_logits', { scale_logits: true }],
  ['multi_query_attention', { multi_query_attention: true }],
  ['n_kv_heads', { n_kv_heads: 2 }],
  ['biases', { include_bias: true }],
  ['biases of norms only', { bias_for_layer_norm: true }],
  ['untied head', { weight_tying: false }],
  ['untied head with bias', { weight_tying: false, include_bias: true }],
  ['LayerNorm', { layer_norm_type: 'default' }],
  ['low_precision', { layer_norm_type: 'low_precision', layer_norm_eps: 0.1 }],
  ['no QK norm', { attention_layer_norm: false }],
  ['norms without weight', { layer_norm_with_affine: false }],
  ['no memory', { mem_insert_way: 'no_mem' }],
];

const IDS = [3, 17, 0, 31, 8, 8, 25, 12, 1, 30];

it.each(CASES)('%s: logits equal those of a naive transformer', async (_, settings) => {
  const { model, weights } = await tinyModel(settings);
  const whole = await forward(model, {
    sequences: [{ cache: createKvCache(model.dense.config), tokenIds: IDS }],
    logits: 'all',
  });
  const naive = await naiveOf(model, weights, IDS);
  expectNear(whole.logits, naive.flat(), 2e-5);

  // With a cache: a part first, then the rest.
  const cache = createKvCache(model.dense.config);
  await forward(model, { sequences: [{ cache, tokenIds: IDS.slice(0, 6) }], logits: 'last' });
  const rest = await forward(model, { sequences: [{ cache, tokenIds: IDS.slice(6) }], logits: 'last' });
  expectNear(rest.logits, naive.at(-1)!, 2e-5);
});

it('every setting changes the logits', async () => {
  const seen = new Map<string, string>();
  for (const [name, settings] of CASES) {
    const { model } = await tinyModel(settings);
    const sequences = [{ cache: createKvCache(model.dense.config), tokenIds: IDS }];
    const { logits } = await forward(model, { sequences, logits: 'last' });
    const fingerprint = [...logits].map((logit) => logit.toFixed(4)).join();
    expect(seen.get(fingerprint), name).toBeUndefined();
    seen.set(fingerprint, name);
  }
});

async function tinyModel(settings: Record<string, unknown>): Promise<{ model: Model; weights: Weights }> {
  const { checkpoint, weights } = await openTinyModel(settings, 7);
  return { model: await modelOf(checkpoint), weights };
}

/** The memory layers are the library's own, which the recorded layers hold in check; where they read and write is not. */
function naiveOf(model: Model, weights: Weights, ids: number[]): Promise<number[][]> {
  const { config } = model.dense;
  const memory: NaiveMemory = async (layer, inputs) => {
    const memoryLayer = model.memoryLayers[layer];
    const input = Float32Array.from(inputs.flat());
    const answer = await beginLookup(model.kernels, memoryLayer, model.lookUp, input);
    const output = await finishLookup(model.kernels, memoryLayer, input, answer);
    return inputs.map((_, t) => [...output.subarray(t * config.dModel, (t + 1) * config.dModel)]);
  };
  const reads = Array.from({ length: config.nLayers }, (_, block) =>
    model.memoryLayers.length > 0 ? block : null,
  );
  return naiveLogits(config, weights, ids, reads, memory);
}

function expectNear(found: Float32Array, expected: readonly number[], tolerance: number): void {
  expect(found).toHaveLength(expected.length);
  const largest = expected.reduce((error, value, i) => Math.max(error, Math.abs(found[i] - value)), 0);
  expect(largest).toBeLessThan(tolerance);
}
