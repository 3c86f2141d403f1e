import { type MemoryGeometry, type ModelConfig, SIDES, virtualValueCount } from '@ultramem/ultramem';
import { FLOAT_DTYPES } from './dtype.ts';
import { memoryTensorName, preValueTableName, SHARED_VALUE_TABLE, valueTableName } from './tensor-names.ts';
import type { DType } from './tensor-source.ts';

/** What a checkpoint of a given configuration must hold under one name. */
export interface ExpectedTensor {
  name: string;
  shape: readonly number[];
  dtypes: readonly DType[];
  /** `dense`: the transformer, which workers do without. */
  part: 'dense' | 'memory';
}

/** Every tensor of the model, straight from the tables of SEMANTICS section 10; `geometry` is null without memory layers. */
export function expectedTensors(config: ModelConfig, geometry: MemoryGeometry | null): ExpectedTensor[] {
  const tensors = [...outerTensors(config)];
  for (let block = 0; block < config.nLayers; block++) tensors.push(...blockTensors(config, block));
  if (geometry === null) {
    // The reference builds Memory+'s table even when no layer reads it.
    if (config.memFamily === 'memory_plus')
      tensors.push(expectTable(config, SHARED_VALUE_TABLE, [config.memKnum ** 2, config.memVdim]));
    return tensors;
  }
  for (let layer = 0; layer < geometry.layerCount; layer++)
    tensors.push(...memoryTensors(config, geometry, layer));
  const { tableRows, valueWidth, preWidth, sharedTable } = geometry;
  for (let layer = 0; layer < (sharedTable ? 1 : geometry.layerCount); layer++)
    tensors.push(expectTable(config, valueTableName(geometry, layer), [tableRows, valueWidth]));
  if (preWidth > 0) tensors.push(expectTable(config, preValueTableName(geometry), [tableRows, preWidth]));
  return tensors;
}

function outerTensors(config: ModelConfig): ExpectedTensor[] {
  const { dModel, embeddingSize, rope, alibi, embeddingLayerNorm, weightTying, linearBias } = config;
  const tensors = [expectFloats('dense', 'transformer.wte.weight', [embeddingSize, dModel])];
  if (!rope && !alibi)
    tensors.push(expectFloats('dense', 'transformer.wpe.weight', [config.maxSequenceLength, dModel]));
  if (embeddingLayerNorm)
    tensors.push(...norm('dense', 'transformer.emb_norm', dModel, config.normWeight, config));
  tensors.push(...norm('dense', 'transformer.ln_f', dModel, config.normWeight, config));
  if (!weightTying) tensors.push(...linear('transformer.ff_out', embeddingSize, dModel, linearBias));
  return tensors;
}

function blockTensors(config: ModelConfig, block: number): ExpectedTensor[] {
  const { dModel, nHeads, nKvHeads, mlpHiddenSize, linearBias, normWeight, attentionNormWeight } = config;
  const headWidth = dModel / nHeads;
  const hidden = config.activation === 'swiglu' ? mlpHiddenSize / 2 : mlpHiddenSize;
  const prefix = `transformer.blocks.${block}`;
  const tensors = [
    ...linear(`${prefix}.att_proj`, dModel + 2 * nKvHeads * headWidth, dModel, linearBias),
    ...linear(`${prefix}.attn_out`, dModel, dModel, linearBias),
    ...linear(`${prefix}.ff_proj`, mlpHiddenSize, dModel, linearBias),
    ...linear(`${prefix}.ff_out`, dModel, hidden, linearBias),
    ...norm('dense', `${prefix}.attn_norm`, dModel, normWeight, config),
    ...norm('dense', `${prefix}.ff_norm`, dModel, normWeight, config),
  ];
  if (config.attentionLayerNorm)
    for (const name of ['q_norm', 'k_norm'])
      tensors.push(...norm('dense', `${prefix}.${name}`, headWidth, attentionNormWeight, config));
  return tensors;
}

function memoryTensors(config: ModelConfig, geometry: MemoryGeometry, layer: number): ExpectedTensor[] {
  const { family, headCount, keyCount, keyWidth, rank, modelWidth, queryGroupCount, preWidth } = geometry;
  const ofLayer = (part: Parameters<typeof memoryTensorName>[1], shape: number[]): ExpectedTensor =>
    expectFloats('memory', memoryTensorName(layer, part), shape);
  const isPlus = family === 'memory_plus';
  const tensors = [
    ofLayer('keys', [headCount, SIDES, keyCount, keyWidth, ...(isPlus ? [] : [rank])]),
    ofLayer('query_proj.weight', [queryGroupCount * SIDES * keyWidth, modelWidth]),
    ofLayer('values_proj.weight', [modelWidth, geometry.poolBlocks * geometry.valueWidth]),
  ];
  for (const name of ['query_norm', 'keys_norm'])
    tensors.push(
      ...norm(
        'memory',
        `transformer.mem_blocks.${layer}.${name}`,
        keyWidth,
        config.attentionNormWeight,
        config,
      ),
    );
  if (isPlus) return [...tensors, ofLayer('swilu_projection.weight', [modelWidth, modelWidth])];
  if (preWidth > 0) tensors.push(ofLayer('pre_values_proj.weight', [preWidth, modelWidth]));
  for (let core = 0; core < geometry.coreCount; core++)
    tensors.push(ofLayer(`tucker_core.${core}`, [headCount, rank, rank]));
  tensors.push(
    ofLayer('tucker_core_u', [1, headCount, 1, rank]),
    ofLayer('tucker_core_v', [1, headCount, 1, rank]),
  );
  const shuffle = memoryTensorName(layer, 'shuffle_index');
  tensors.push({ name: shuffle, shape: [virtualValueCount(geometry)], dtypes: ['I64'], part: 'memory' });
  return tensors;
}

function linear(prefix: string, rows: number, columns: number, hasBias: boolean): ExpectedTensor[] {
  const weight = expectFloats('dense', `${prefix}.weight`, [rows, columns]);
  return hasBias ? [weight, expectFloats('dense', `${prefix}.bias`, [rows])] : [weight];
}

/** SEMANTICS 1.1: a bias exists only beside a weight. */
function norm(
  part: ExpectedTensor['part'],
  prefix: string,
  width: number,
  hasWeight: boolean,
  config: Pick<ModelConfig, 'normBias'>,
): ExpectedTensor[] {
  if (!hasWeight) return [];
  const weight = expectFloats(part, `${prefix}.weight`, [width]);
  return config.normBias ? [weight, expectFloats(part, `${prefix}.bias`, [width])] : [weight];
}

function expectTable(config: ModelConfig, name: string, shape: readonly number[]): ExpectedTensor {
  const dtypes = config.valueDtype === 'int8_block64' ? (['INT8_BLOCK64'] as const) : FLOAT_DTYPES;
  return { name, shape, dtypes, part: 'memory' };
}

function expectFloats(part: ExpectedTensor['part'], name: string, shape: readonly number[]): ExpectedTensor {
  return { name, shape, dtypes: FLOAT_DTYPES, part };
}
