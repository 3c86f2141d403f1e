import { safetensorsHeader } from '@ultramem/checkpoint';
import { OperatingError } from '@ultramem/invariant';
import { type RawTensor, readVectorFile, type VectorFile } from './vector-file.ts';

/** A recorded layer file as a checkpoint of its own, and what the reference computed with it. */
export interface LayerVectorCheckpoint {
  name: string;
  /** `config.json` and `model.safetensors`; memory tensors only. */
  files: Map<string, string | Uint8Array>;
  layers: LayerVector[];
}

/** Input and answers of one memory layer. Shapes as in SEMANTICS 15.1, N tokens, M winners each. */
export interface LayerVector {
  layer: number;
  tokenCount: number;
  input: Float32Array; // [N, modelWidth]
  bestIndex: Float64Array; // [N, M]
  /** Null for Memory+, which has no shuffle. */
  block: Float64Array | null; // [N, M]
  slot: Float64Array | null; // [N, M]
  /** Of each core; after the softmax for Memory+. */
  scores: Float32Array; // [N, M, cores]
  /** Blocks kept apart, also where the model sums them. */
  pooled: Float32Array; // [N, blocks * valueWidth]
  output: Float32Array; // [N, modelWidth]
}

/**
 * Turns a layer file (SEMANTICS 15.1 to 15.3) into a checkpoint: layer-level names of v1 get their full names, and
 * what v1's `ctor` says replaces the model's configuration.
 *
 * @throws OperatingError VECTORS_INVALID when it is another kind of file
 */
export function layerVectorCheckpoint(bytes: Uint8Array, name: string): LayerVectorCheckpoint {
  const file = readVectorFile(bytes, name);
  const { model_config: modelConfig, ctor, kind } = file.metadata;
  if (modelConfig === undefined || kind === undefined)
    throw new OperatingError(
      'VECTORS_INVALID',
      `${name} names no model_config; expected a recorded memory layer; leave out files of gradients and whole models`,
    );
  // The recorded layers have no attention, and the default number of heads rarely divides their width.
  const model = { ...JSON.parse(modelConfig), n_heads: 1, n_kv_heads: null };
  const config = ctor === undefined ? model : { ...model, ...configOfConstructor(JSON.parse(ctor)) };
  const weights = file.tensorNames
    .filter((tensor) => !tensor.startsWith('vec.'))
    .map((tensor) => ({
      name: ctor === undefined ? tensor : `transformer.mem_blocks.0.${tensor}`,
      ...file.raw(tensor),
    }));
  const files = new Map<string, string | Uint8Array>([
    ['config.json', JSON.stringify(config)],
    ['model.safetensors', safetensors(weights)],
  ]);
  const prefixes = ctor === undefined ? layerPrefixes(file) : ['vec.'];
  return { name, files, layers: prefixes.map((prefix, layer) => readLayer(file, prefix, layer)) };
}

function safetensors(tensors: readonly (RawTensor & { name: string })[]): Uint8Array {
  const wideFirst = tensors.toSorted((a, b) => Number(b.dtype === 'I64') - Number(a.dtype === 'I64'));
  const { header, offsets, fileByteCount } = safetensorsHeader(wideFirst);
  const file = new Uint8Array(fileByteCount);
  file.set(header);
  for (const [i, { bytes }] of wideFirst.entries()) file.set(bytes, offsets[i]);
  return file;
}

/** Arguments of v1's layer class as configuration keys. Rank, cores and expansion have none: the tensors' shapes say them. */
function configOfConstructor(ctor: Record<string, number>): Record<string, unknown> {
  return {
    d_model: ctor.hidden_size,
    n_layers: 1,
    mem_insert_way: '0:0',
    mem_knum: ctor.knum,
    mem_kdim: ctor.kdim,
    mem_vdim: ctor.vdim,
    mem_knn: ctor.knn,
    mem_head: ctor.head,
  };
}

function layerPrefixes(file: VectorFile): string[] {
  const count = file.tensorNames.filter((tensor) => /^vec\.layer\d+\.input$/.test(tensor)).length;
  return Array.from({ length: count }, (_, layer) => `vec.layer${layer}.`);
}

function readLayer(file: VectorFile, prefix: string, layer: number): LayerVector {
  const shape = file.shape(`${prefix}input`);
  const shuffled = file.has(`${prefix}slot`);
  return {
    layer,
    tokenCount: shape[0] * shape[1],
    input: file.floats(`${prefix}input`),
    bestIndex: file.integers(`${prefix}best_index`),
    block: shuffled ? file.integers(`${prefix}block`) : null,
    slot: shuffled ? file.integers(`${prefix}slot`) : null,
    scores: file.floats(`${prefix}${shuffled ? 'best_scores' : 'softmax_score'}`),
    pooled: file.floats(`${prefix}pooled`),
    output: file.floats(`${prefix}output`),
  };
}
