import { OperatingError } from '@ultramem/invariant';
import { parseInsertions } from './insertion.ts';
import type { MemoryFamily, ModelConfig } from './model-config.ts';

/**
 * Every size that one memory layer's lookup depends on; equal for all memory layers of a model but for `rowOffset`,
 * which is a function of the layer (`rowOffset(geometry, layer)`). Symbols of SEMANTICS sections 4 to 6 in brackets.
 */
export interface MemoryGeometry {
  family: MemoryFamily;
  /** Memory layers of the model [L]. */
  layerCount: number;
  modelWidth: number; // [d]
  headCount: number; // [Hd]
  topK: number; // [k]
  /** Keys per axis [m]. */
  keyCount: number;
  keyWidth: number; // [K]
  /** Tucker rank [R]; 1 for Memory+. */
  rank: number;
  /** Tucker cores = score columns per winner [C]; 1 for Memory+. */
  coreCount: number;
  /** Query pairs (row, column) that the query projection yields; head h takes pair `queryGroupOfHead(h)`. */
  queryGroupCount: number;
  /** Query pairs that a head really uses: the first ones. */
  queryGroupUsed: number;
  /** Rows of the stored value table [A, or n² for v1 and Memory+]. */
  tableRows: number;
  /** Rows one layer can address [Nv]. */
  windowRows: number;
  /** The window of layer i starts at i times this [n0² for v2, else 0]. */
  windowStride: number;
  /** Virtual blocks that the index space has [F, or E for v1; 1 for Memory+]. */
  virtualBlocks: number;
  /** Blocks that pooling keeps apart: `virtualBlocks`, or 1 where v2 sums them before its projection (E = 1). */
  poolBlocks: number;
  valueWidth: number; // [V]
  /** Width of v2's pre-values [Pv], 0 without. */
  preWidth: number;
  /** v2: gelu on the pre-score. */
  preActivation: boolean;
  /** One table for all memory layers (v2, Memory+) or one each (v1). */
  sharedTable: boolean;
}

/** The three constants of v1 that its model never overrides, but its layer class takes (the vector files use others). */
export interface V1Constants {
  rank: number;
  coreCount: number;
  valueExpand: number;
}

export const V1_CONSTANTS: V1Constants = { rank: 2, coreCount: 2, valueExpand: 4 };

/**
 * Geometry of the memory layers of a model, or null when it has none.
 *
 * @throws OperatingError CONFIG_INVALID for settings that contradict each other or that the reference cannot run.
 */
export function memoryGeometry(config: ModelConfig, v1: V1Constants = V1_CONSTANTS): MemoryGeometry | null {
  const layerCount = parseInsertions(config).length;
  if (layerCount === 0) return null;
  if (!config.attentionNormWeight)
    throw invalid(
      'attention_layer_norm_with_affine is false; expected true, because memory norms need their weight; set it to true',
    );
  const geometry = sizes(config, layerCount, v1);
  if (geometry.topK > geometry.keyCount)
    throw invalid(
      `mem_knn is ${geometry.topK}, but there are only ${geometry.keyCount} keys per axis; expected mem_knn of at most that; lower it`,
    );
  if (geometry.valueWidth % geometry.coreCount !== 0)
    throw invalid(
      `mem_vdim is ${geometry.valueWidth}; expected a multiple of the ${geometry.coreCount} Tucker cores; correct it`,
    );
  if (geometry.tableRows >= 2 ** 32)
    throw invalid(
      `the value table has ${geometry.tableRows} rows; expected fewer than 2^32, because slots travel as 32-bit numbers; lower mem_knum`,
    );
  if (geometry.poolBlocks > 256)
    throw invalid(
      `the memory has ${geometry.poolBlocks} virtual blocks; expected at most 256, because blocks travel as bytes; lower mem_key_expand_time`,
    );
  return geometry;
}

function sizes(config: ModelConfig, layerCount: number, v1: V1Constants): MemoryGeometry {
  const shared = {
    family: config.memFamily,
    layerCount,
    modelWidth: config.dModel,
    headCount: config.memHead,
    topK: config.memKnn,
    keyWidth: config.memKdim,
    valueWidth: config.memVdim,
  };
  const n0 = config.memKnum;
  switch (config.memFamily) {
    case 'ultramem_v1': {
      if (config.memHead > 2)
        throw invalid(
          `mem_head is ${config.memHead}; expected 1 or 2, because v1 has one query for two heads; lower it`,
        );
      const expand = Math.floor(Math.sqrt(v1.valueExpand));
      return {
        ...shared,
        keyCount: expand * n0,
        rank: v1.rank,
        coreCount: v1.coreCount,
        queryGroupCount: 1,
        queryGroupUsed: 1,
        tableRows: n0 * n0,
        windowRows: n0 * n0,
        windowStride: 0,
        virtualBlocks: v1.valueExpand,
        poolBlocks: v1.valueExpand,
        preWidth: 0,
        preActivation: false,
        sharedTable: false,
      };
    }
    case 'ultramem_v2': {
      if (config.memShareRatio > 1)
        throw invalid(
          `mem_share_ratio is ${config.memShareRatio}; expected above 0 and at most 1; correct it`,
        );
      const groups = config.memQForEachTuckerRank ? 2 : 1;
      if (config.memHead > 2 * groups)
        throw invalid(
          `mem_head is ${config.memHead}; expected at most ${2 * groups} with mem_q_for_each_tucker_rank ${config.memQForEachTuckerRank}, because one query serves two heads; lower it`,
        );
      const tableRows = n0 * n0 * layerCount;
      const n = Math.floor(Math.sqrt(tableRows * config.memShareRatio));
      if (n === 0)
        throw invalid(
          `mem_share_ratio ${config.memShareRatio} leaves a layer no row; expected at least one; raise it`,
        );
      const blocks = config.memKeyExpandTime ** 2;
      if (config.memValueExpandTime !== 1 && config.memValueExpandTime !== blocks)
        throw invalid(
          `mem_value_expand_time is ${config.memValueExpandTime}; expected 1 or the square of mem_key_expand_time (${blocks}); correct it`,
        );
      return {
        ...shared,
        keyCount: config.memKeyExpandTime * n,
        rank: 2,
        coreCount: 2,
        queryGroupCount: groups,
        queryGroupUsed: Math.floor((config.memHead - 1) / 2) + 1,
        tableRows,
        windowRows: n * n,
        windowStride: n0 * n0,
        virtualBlocks: blocks,
        poolBlocks: config.memValueExpandTime,
        preWidth: config.memPreVdim,
        preActivation: config.memUseGluAct,
        sharedTable: true,
      };
    }
    case 'memory_plus':
      if (config.memVdim !== config.dModel)
        throw invalid(
          `mem_vdim is ${config.memVdim}; expected d_model (${config.dModel}) for memory_plus; correct it`,
        );
      return {
        ...shared,
        keyCount: n0,
        rank: 1,
        coreCount: 1,
        queryGroupCount: config.memHead,
        queryGroupUsed: config.memHead,
        tableRows: n0 * n0,
        windowRows: n0 * n0,
        windowStride: 0,
        virtualBlocks: 1,
        poolBlocks: 1,
        preWidth: 0,
        preActivation: false,
        sharedTable: true,
      };
  }
}

/** The query pair of head `head`: one for two heads in UltraMem, one each in Memory+ (SEMANTICS 4.2, 5.2, 6). */
export function queryGroupOfHead(geometry: MemoryGeometry, head: number): number {
  return geometry.family === 'memory_plus' ? head : Math.floor(head / 2);
}

/** Winners per token: heads times top-k. */
export function winnersPerToken(geometry: MemoryGeometry): number {
  return geometry.headCount * geometry.topK;
}

/** Length of `shuffle_index` [F * Nv]. Virtual indices are below keyCount², which is less when E is no square. */
export function virtualValueCount(geometry: Pick<MemoryGeometry, 'virtualBlocks' | 'windowRows'>): number {
  return geometry.virtualBlocks * geometry.windowRows;
}

function invalid(message: string): OperatingError {
  return new OperatingError('CONFIG_INVALID', `config.json: ${message}`);
}
