import { type Checkpoint, readFloats } from '@ultramem/checkpoint';
import type { FeedForward, Kernels, Linear, Norm, RopeTable, ValueTable } from '@ultramem/kernels';
import { type ModelConfig, parseInsertions, writesByBlock } from '@ultramem/ultramem';
import { createRopeTable } from './rope.ts';

/** Everything of the model but its memory layers. */
export interface DenseModel {
  readonly config: ModelConfig;
  readonly embedding: ValueTable; // [embeddingSize, dModel]
  readonly positions: Float32Array | null; // [maxSequenceLength, dModel], learned
  readonly rope: RopeTable | null;
  readonly alibiSlopes: Float32Array | null; // [heads]
  readonly embeddingNorm: Norm | null;
  readonly blocks: readonly Block[];
  readonly finalNorm: Norm;
  readonly head: Linear; // [embeddingSize, dModel]
}

export interface Block {
  readonly attentionNorm: Norm;
  readonly queryNorm: Norm | null; // over headWidth
  readonly keyNorm: Norm | null;
  readonly attProj: Linear; // [dModel + 2 kvHeads headWidth, dModel]
  readonly attnOut: Linear; // [dModel, dModel]
  readonly ffNorm: Norm;
  readonly feedForward: FeedForward;
  /** The memory layer that reads this block's MLP input, or null. A layer whose output is lost (SEMANTICS section 3) is read nowhere. */
  readonly reads: number | null;
  /** The memory layer whose output is added after this block, or null. */
  readonly writes: number | null;
}

/**
 * Loads the transformer's weights (names: SEMANTICS section 10).
 *
 * @param onProgress blocks loaded so far, after each one
 */
export async function loadDense(
  checkpoint: Checkpoint,
  kernels: Kernels,
  onProgress: (loadedBlocks: number, blockCount: number) => void = () => {},
): Promise<DenseModel> {
  const { config } = checkpoint;
  const headWidth = config.dModel / config.nHeads;
  const embeddings = checkpoint.tensor('transformer.wte.weight');
  const rows = { start: 0, end: config.embeddingSize };
  const learned = !config.rope && !config.alibi;
  const embedding = await kernels.loadValues(embeddings, rows, { start: 0, end: config.dModel });
  const insertions = parseInsertions(config);
  const writes = writesByBlock(insertions, config.nLayers);
  const blocks: Block[] = [];
  for (let i = 0; i < config.nLayers; i++) {
    const layer = insertions.findIndex((insertion) => insertion.readBlock === i);
    const memory = { reads: writes.includes(layer) ? layer : null, writes: writes[i] };
    blocks.push({ ...(await loadBlock(checkpoint, kernels, `transformer.blocks.${i}`)), ...memory });
    onProgress(i + 1, config.nLayers);
  }
  return {
    config,
    embedding,
    positions: learned ? await readFloats(checkpoint.tensor('transformer.wpe.weight')) : null,
    rope: config.rope ? createRopeTable(config.maxSequenceLength, headWidth, config.ropeTheta) : null,
    alibiSlopes: config.alibi ? alibiSlopes(config) : null,
    embeddingNorm: config.embeddingLayerNorm
      ? await namedNorm(checkpoint, 'transformer.emb_norm', config.normWeight)
      : null,
    blocks,
    finalNorm: await namedNorm(checkpoint, 'transformer.ln_f', config.normWeight),
    head: config.weightTying
      ? { weight: await kernels.loadMatrix(embeddings), bias: null }
      : await loadLinear(checkpoint, kernels, 'transformer.ff_out'),
  };
}

async function loadBlock(
  checkpoint: Checkpoint,
  kernels: Kernels,
  name: string,
): Promise<Omit<Block, 'reads' | 'writes'>> {
  const { normWeight, attentionNormWeight, attentionLayerNorm, activation } = checkpoint.config;
  const headNorm = (part: string): Promise<Norm> =>
    namedNorm(checkpoint, `${name}.${part}`, attentionNormWeight);
  return {
    attentionNorm: await namedNorm(checkpoint, `${name}.attn_norm`, normWeight),
    queryNorm: attentionLayerNorm ? await headNorm('q_norm') : null,
    keyNorm: attentionLayerNorm ? await headNorm('k_norm') : null,
    attProj: await loadLinear(checkpoint, kernels, `${name}.att_proj`),
    attnOut: await loadLinear(checkpoint, kernels, `${name}.attn_out`),
    ffNorm: await namedNorm(checkpoint, `${name}.ff_norm`, normWeight),
    feedForward: {
      inner: await loadLinear(checkpoint, kernels, `${name}.ff_proj`),
      activation,
      outer: await loadLinear(checkpoint, kernels, `${name}.ff_out`),
    },
  };
}

async function loadLinear(checkpoint: Checkpoint, kernels: Kernels, name: string): Promise<Linear> {
  const bias = checkpoint.config.linearBias ? await readFloats(checkpoint.tensor(`${name}.bias`)) : null;
  return { weight: await kernels.loadMatrix(checkpoint.tensor(`${name}.weight`)), bias };
}

function namedNorm(checkpoint: Checkpoint, name: string, weighted: boolean): Promise<Norm> {
  return loadNorm(checkpoint, weighted, (part) => `${name}.${part}`);
}

/** @param weighted whether this norm has a weight; it has a bias only then (SEMANTICS 1.1) */
export async function loadNorm(
  checkpoint: Checkpoint,
  weighted: boolean,
  tensorName: (part: 'weight' | 'bias') => string,
): Promise<Norm> {
  const { normKind: kind, normEps: eps, normBias } = checkpoint.config;
  const load = (part: 'weight' | 'bias') => readFloats(checkpoint.tensor(tensorName(part)));
  return {
    kind,
    eps,
    weight: weighted ? await load('weight') : null,
    bias: weighted && normBias ? await load('bias') : null,
  };
}

/** SEMANTICS 2.2 step 5: 2^(-(h + 1) * alibi_bias_max / heads). */
function alibiSlopes(config: ModelConfig): Float32Array {
  return Float32Array.from(
    { length: config.nHeads },
    (_, head) => 2 ** ((-(head + 1) * config.alibiBiasMax) / config.nHeads),
  );
}
