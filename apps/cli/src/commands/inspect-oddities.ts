import type { MemoryGeometry, ModelConfig, V1Constants } from '@ultramem/ultramem';
import {
  parseInsertions,
  V1_CONSTANTS,
  virtualValueCount,
  winnersPerToken,
  writesByBlock,
} from '@ultramem/ultramem';
import { DEAD_SETTINGS, IGNORED_SETTINGS, TRAINING_SETTINGS } from './inspect-settings.ts';

/** `warning`: a part of the model does nothing, or the reference cannot run it. `note`: a surprise without harm. */
export interface Oddity {
  kind: 'warning' | 'note';
  text: string;
}

/** What of a checkpoint the search reads; no value of a large tensor is among it. */
export interface OddityCase {
  config: ModelConfig;
  /** `config.json` as it is written, for the keys that inference does not use. */
  settings: Readonly<Record<string, unknown>>;
  geometry: MemoryGeometry | null;
  v1: V1Constants;
  unexpected: readonly string[];
  /** Both Tucker vectors of each memory layer, one behind the other; empty for Memory+. */
  tuckerVectors: readonly Float32Array[]; // [layerCount][2 * heads * rank]
}

/** Names in one message. */
const NAMED_MAX = 4;

/** What is odd about a checkpoint (SEMANTICS sections 3 and 14), as far as configuration, headers and small tensors tell. Warnings first. */
export function findOddities(found: OddityCase): Oddity[] {
  const { geometry } = found;
  const warnings = [
    ...lostOutputs(found.config),
    ...(geometry === null
      ? []
      : [
          ...unreachable(geometry),
          ...untrained(found.tuckerVectors),
          ...deadQueries(geometry),
          ...referenceCrashes(found.config, geometry),
        ]),
    ...unexpectedTensors(found.unexpected),
  ];
  const notes = [
    ...(geometry === null ? withoutMemory(found.config) : memoryNotes(found, geometry)),
    ...vocabularyNotes(found.config),
    ...settingNotes(found),
  ];
  return [
    ...warnings.map((text) => ({ kind: 'warning' as const, text })),
    ...notes.map((text) => ({ kind: 'note' as const, text })),
  ];
}

/** Memory layers whose output no block adds. */
export function lostLayers(config: ModelConfig): number[] {
  const insertions = parseInsertions(config);
  const added = new Set(writesByBlock(insertions, config.nLayers));
  return insertions.flatMap((_, layer) => (added.has(layer) ? [] : [layer]));
}

function lostOutputs(config: ModelConfig): string[] {
  const insertions = parseInsertions(config);
  const lost = new Set(lostLayers(config));
  return insertions.flatMap(({ readBlock, writeBlock }, layer) => {
    if (!lost.has(layer)) return [];
    const what = `the output of memory layer ${layer} (${readBlock}:${writeBlock}) is lost:`;
    if (writeBlock < readBlock) return `${what} block ${writeBlock} is over when block ${readBlock} is read`;
    if (writeBlock >= config.nLayers) return `${what} the last block is ${config.nLayers - 1}`;
    return `${what} another memory layer reads before block ${writeBlock} is over, and only one output can wait`;
  });
}

function unreachable(geometry: MemoryGeometry): string[] {
  const { layerCount, windowRows, windowStride, tableRows, keyCount } = geometry;
  const found: string[] = [];
  const unreadRows = layerCount * Math.max(0, windowStride - windowRows);
  if (unreadRows > 0)
    found.push(
      `${unreadRows} of ${tableRows} rows are in no memory layer's window (mem_share_ratio leaves a layer ${windowRows}, and the next window begins ${windowStride} later)`,
    );
  const unreachedValues = virtualValueCount(geometry) - keyCount ** 2;
  if (unreachedValues > 0)
    found.push(
      `${unreachedValues} of ${virtualValueCount(geometry)} virtual slots have no key: the value expansion is no square number`,
    );
  return found;
}

function untrained(tuckerVectors: readonly Float32Array[]): string[] {
  const zero = tuckerVectors.flatMap((values, layer) =>
    values.every((value) => value === 0) ? [layer] : [],
  );
  const bad = tuckerVectors.flatMap((values, layer) =>
    values.some((value) => !Number.isFinite(value)) ? [layer] : [],
  );
  return [
    ...(zero.length === 0
      ? []
      : [
          `tucker_core_u and tucker_core_v are zero in memory layer ${someOf(zero)}: not one training step was made, and the keys chosen mean nothing`,
        ]),
    ...(bad.length === 0
      ? []
      : [
          `tucker_core_u or tucker_core_v of memory layer ${someOf(bad)} holds a value that is not finite: every lookup will fail`,
        ]),
  ];
}

function deadQueries({ family, queryGroupCount, queryGroupUsed }: MemoryGeometry): string[] {
  if (family === 'memory_plus' || queryGroupUsed === queryGroupCount) return [];
  return [
    'half of every query_proj is dead: mem_q_for_each_tucker_rank gives a second query, which only heads 2 and 3 would use',
  ];
}

function referenceCrashes(config: ModelConfig, geometry: MemoryGeometry): string[] {
  const { family } = geometry;
  if (family === 'ultramem_v2' && !config.memQForEachTuckerRank)
    return [
      'the reference code crashes with mem_q_for_each_tucker_rank false; here one query serves all heads, as in v1',
    ];
  if (family === 'memory_plus' && winnersPerToken(geometry) === 1)
    return ['the reference code fails or misreads scores with mem_head * mem_knn = 1; here it works'];
  return [];
}

function unexpectedTensors(names: readonly string[]): string[] {
  return names.length === 0
    ? []
    : [
        `${names.length} ${names.length === 1 ? 'tensor is' : 'tensors are'} read by nothing: ${someOf(names)}`,
      ];
}

function withoutMemory({ memFamily }: ModelConfig): string[] {
  const table = memFamily === 'memory_plus' ? ', though a value table is stored' : '';
  return [`no memory layers (mem_insert_way is no_mem)${table}: there is nothing to shard`];
}

function memoryNotes({ v1, config, settings }: OddityCase, geometry: MemoryGeometry): string[] {
  const found: string[] = [];
  const { family, windowRows, tableRows, virtualBlocks } = geometry;
  if (family === 'memory_plus') found.push('keys_norm is stored and never used: keys count as they are');
  if (family === 'ultramem_v2' && config.memShareRatio === 1 && windowRows < tableRows)
    found.push(
      `a memory layer reaches ${windowRows} of ${tableRows} rows even with mem_share_ratio 1, because windows have a square number of rows`,
    );
  if (
    family === 'ultramem_v1' &&
    settings.mem_value_expand_time !== undefined &&
    config.memValueExpandTime !== virtualBlocks
  )
    found.push(
      `mem_value_expand_time ${config.memValueExpandTime} is ignored: v1 has ${virtualBlocks} virtual blocks, whatever it says`,
    );
  const isUsual =
    v1.rank === V1_CONSTANTS.rank &&
    v1.coreCount === V1_CONSTANTS.coreCount &&
    v1.valueExpand === V1_CONSTANTS.valueExpand;
  if (family === 'ultramem_v1' && !isUsual)
    found.push(
      `${v1.rank} Tucker ranks, ${v1.coreCount} cores and ${v1.valueExpand} virtual blocks, taken from the shapes; the reference model has ${V1_CONSTANTS.rank}, ${V1_CONSTANTS.coreCount} and ${V1_CONSTANTS.valueExpand}`,
    );
  return found;
}

function vocabularyNotes({ vocabSize, embeddingSize, eosTokenId }: ModelConfig): string[] {
  const found: string[] = [];
  if (embeddingSize > vocabSize)
    found.push(
      `ids ${vocabSize} to ${embeddingSize - 1} are no tokens, but have logits and can be generated`,
    );
  if (eosTokenId >= embeddingSize)
    found.push(
      `eos_token_id ${eosTokenId} is beyond the ${embeddingSize} logits: nothing but its length ends a generation`,
    );
  return found;
}

function settingNotes({ config, geometry, settings }: OddityCase): string[] {
  const given = (defaults: Readonly<Record<string, unknown>>): string =>
    Object.entries(defaults)
      .filter(([key, usual]) => settings[key] !== undefined && settings[key] !== usual)
      .map(([key]) => `${key} ${JSON.stringify(settings[key])}`)
      .join(', ');
  const [ignored, dead, training] = [
    geometry === null ? '' : given(IGNORED_SETTINGS[config.memFamily]),
    given(DEAD_SETTINGS),
    given(TRAINING_SETTINGS),
  ];
  return [
    ...(ignored === '' ? [] : [`without effect in ${config.memFamily}: ${ignored}`]),
    ...(dead === '' ? [] : [`without effect in any model: ${dead}`]),
    ...(training === '' ? [] : [`acts in training only: ${training}`]),
  ];
}

function someOf(values: readonly (string | number)[]): string {
  return `${values.slice(0, NAMED_MAX).join(', ')}${values.length > NAMED_MAX ? ', ...' : ''}`;
}
