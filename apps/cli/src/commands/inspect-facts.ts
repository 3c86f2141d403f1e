import {
  type Checkpoint,
  type CheckpointDirectory,
  memoryTensorName,
  readFloats,
  type TensorSource,
  tensorByteCount,
} from '@ultramem/checkpoint';
import { OperatingError } from '@ultramem/invariant';
import { loadTokenizer } from '@ultramem/tokenizer';
import { type MemoryGeometry, parseInsertions, virtualValueCount } from '@ultramem/ultramem';
import { findOddities, lostLayers, type Oddity } from './inspect-oddities.ts';

/** One kind of tensor, all of the model together. */
export interface PartFacts {
  part: 'transformer' | 'memory projections' | 'keys' | 'values' | 'pre-values' | 'shuffle' | 'unexpected';
  tensorCount: number;
  dtypes: string[];
  elementCount: number;
  bytes: number;
}

/** What `inspect --json` prints. */
export interface InspectFacts {
  model: string;
  fingerprint: string;
  family: string;
  transformer: {
    blocks: number;
    width: number;
    heads: number;
    keyValueHeads: number;
    mlpWidth: number;
    activation: string;
    vocabSize: number;
    embeddingSize: number;
    contextTokens: number;
  };
  tokenizer: 'bytes' | 'tokenizer.json' | 'missing' | 'invalid';
  insertions: { layer: number; readBlock: number; writeBlock: number; lost: boolean }[];
  memory:
    | (Omit<MemoryGeometry, 'modelWidth'> & {
        tableCount: number;
        slots: number;
        virtualSlotsPerLayer: number;
      })
    | null;
  parts: PartFacts[];
  /** Trained numbers: everything but the shuffles, the Tucker vectors u and v, and what nothing reads. */
  parameterCount: number;
  bytes: number;
  oddities: Oddity[];
}

/** Reads configuration, headers and the Tucker vectors of an open checkpoint, and nothing large. */
export async function inspectFacts(
  directory: CheckpointDirectory,
  checkpoint: Checkpoint,
): Promise<InspectFacts> {
  const { config, geometry, v1, unexpected } = checkpoint;
  const settings: Record<string, unknown> = JSON.parse((await directory.readText('config.json')) ?? '{}');
  const tokenizer = await tokenizerFacts(directory, config.vocabSize);
  const insertions = parseInsertions(config);
  const lost = new Set(lostLayers(config));
  const parts = partFacts(checkpoint);
  const oddities = findOddities({
    config,
    settings,
    geometry,
    v1,
    unexpected,
    tuckerVectors: await readTuckerVectors(checkpoint),
  });
  return {
    model: directory.name,
    fingerprint: checkpoint.fingerprint,
    family: config.memFamily,
    transformer: {
      blocks: config.nLayers,
      width: config.dModel,
      heads: config.nHeads,
      keyValueHeads: config.nKvHeads,
      mlpWidth: config.mlpHiddenSize,
      activation: config.activation,
      vocabSize: config.vocabSize,
      embeddingSize: config.embeddingSize,
      contextTokens: config.maxSequenceLength,
    },
    tokenizer: tokenizer.kind,
    insertions: insertions.map((insertion, layer) => ({ layer, ...insertion, lost: lost.has(layer) })),
    memory: geometry === null ? null : memoryFacts(geometry),
    parts,
    parameterCount: parameterCount(checkpoint),
    bytes: parts.reduce((sum, part) => sum + part.bytes, 0),
    oddities: [...tokenizer.oddities, ...oddities],
  };
}

function memoryFacts(geometry: MemoryGeometry): InspectFacts['memory'] {
  const tableCount = geometry.sharedTable ? 1 : geometry.layerCount;
  const slots = tableCount * geometry.tableRows;
  return { ...geometry, tableCount, slots, virtualSlotsPerLayer: virtualValueCount(geometry) };
}

async function tokenizerFacts(
  directory: CheckpointDirectory,
  vocabSize: number,
): Promise<{ kind: InspectFacts['tokenizer']; oddities: Oddity[] }> {
  const tokenizerJson = await directory.readText('tokenizer.json');
  try {
    loadTokenizer({
      tokenizerJson,
      tokenizerConfigJson: await directory.readText('tokenizer_config.json'),
      vocabSize,
    });
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    const kind = error.code === 'TOKENIZER_MISSING' ? 'missing' : 'invalid';
    return { kind, oddities: [{ kind: 'warning', text: error.message }] };
  }
  return { kind: tokenizerJson === null ? 'bytes' : 'tokenizer.json', oddities: [] };
}

const PARTS: [part: PartFacts['part'], name: RegExp][] = [
  ['transformer', /^transformer\.(?!mem_blocks\.|full_memory_layer\.)/],
  ['memory projections', /(_proj|_norm|_projection)\.(weight|bias)$|\.tucker_core/],
  ['keys', /\.keys$/],
  ['values', /\.values_for_look_up$/],
  ['pre-values', /\.pre_values_for_look_up$/],
  ['shuffle', /\.shuffle_index$/],
];

function partFacts(checkpoint: Checkpoint): PartFacts[] {
  const unexpected = new Set(checkpoint.unexpected);
  const partOf = ({ name }: TensorSource): PartFacts['part'] | undefined =>
    unexpected.has(name) ? 'unexpected' : PARTS.find(([, pattern]) => pattern.test(name))?.[0];
  const order = [...PARTS.map(([part]) => part), 'unexpected' as const];
  return order.flatMap((part) => {
    const tensors = [...checkpoint.tensors.values()].filter((tensor) => partOf(tensor) === part);
    if (tensors.length === 0) return [];
    return [
      {
        part,
        tensorCount: tensors.length,
        dtypes: [...new Set(tensors.map(({ dtype }) => dtype))].sort(),
        elementCount: tensors.reduce((sum, tensor) => sum + elementCount(tensor), 0),
        bytes: tensors.reduce((sum, tensor) => sum + tensorByteCount(tensor), 0),
      },
    ];
  });
}

function parameterCount(checkpoint: Checkpoint): number {
  const unexpected = new Set(checkpoint.unexpected);
  return [...checkpoint.tensors.values()]
    .filter(({ name }) => !unexpected.has(name) && !/\.(shuffle_index|tucker_core_[uv])$/.test(name))
    .reduce((sum, tensor) => sum + elementCount(tensor), 0);
}

async function readTuckerVectors(checkpoint: Checkpoint): Promise<Float32Array[]> {
  const { geometry } = checkpoint;
  if (geometry === null || geometry.family === 'memory_plus') return [];
  const read = (layer: number, part: 'tucker_core_u' | 'tucker_core_v'): Promise<Float32Array> =>
    readFloats(checkpoint.tensor(memoryTensorName(layer, part)));
  return Promise.all(
    Array.from({ length: geometry.layerCount }, async (_, layer) =>
      Float32Array.of(...(await read(layer, 'tucker_core_u')), ...(await read(layer, 'tucker_core_v'))),
    ),
  );
}

function elementCount({ shape }: TensorSource): number {
  return shape.reduce((product, size) => product * size, 1);
}
