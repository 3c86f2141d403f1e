import { readFileSync } from 'node:fs';
import {
  type DType,
  memoryDirectory,
  readFloats,
  readSafetensorsHeader,
  readShuffle,
  type TensorSource,
  tensorByteCount,
} from '@ultramem/checkpoint';
import {
  addressValues,
  type Candidates,
  type CollapseVectors,
  type MemoryGeometry,
  memoryGeometry,
  mergeCandidates,
  parseModelConfig,
  queryGroupOfHead,
  type Range,
  SIDES,
  virtualValueCount,
} from '@ultramem/ultramem';
import { beforeAll, describe, expect, it } from 'vitest';
import type { KeyTable, Norm } from './kernels.ts';
import { createReferenceKernels } from './reference/reference-kernels.ts';
import type { ScoreRequest } from './selection.ts';

const CASES = [
  'v1_a',
  'v1_b',
  'v1_c',
  'v1_d',
  'v2_a',
  'v2_b',
  'v2_c',
  'v2_d',
  'v2_e',
  'v2_f',
  'mp_a',
  'mp_b',
];
const TOLERANCE = 1e-5;

const kernels = createReferenceKernels();

describe.each(CASES)('%s, computed by the PyTorch reference', (name) => {
  let file: VectorFile;

  beforeAll(async () => {
    file = await openVectors(name);
  });

  it('scores, selects and pools every layer alike', async () => {
    for (let layer = 0; layer < file.geometry.layerCount; layer++) {
      const { geometry } = file;
      const request = await scoreRequest(file, layer);
      const vec = (tensor: string) => file.vector(layer, tensor);
      const whole = await loadKeys(file, layer, { start: 0, end: geometry.keyCount });
      const candidates = await kernels.scoreKeys(whole, request);
      if (file.has(file.vectorName(layer, 'topk_row_index'))) {
        expect(sideOf(candidates, geometry, 0)).toEqual(await ints(vec('topk_row_index')));
        expect(sideOf(candidates, geometry, 1)).toEqual(await ints(vec('topk_col_index')));
      }

      const selection = await kernels.selectGrid({
        candidates,
        headCount: geometry.headCount,
        keyCount: geometry.keyCount,
        rank: geometry.rank,
        cores: await coresOf(file, layer),
        coreCount: geometry.coreCount,
      });
      expect([...selection.virtualIndex]).toEqual(await ints(vec('best_index')));
      expectNear(selection.rankScore, await readFloats(vec('best_grid_score')));
      const isPlus = geometry.family === 'memory_plus';
      expectNear(selection.scores, await readFloats(vec(isPlus ? 'softmax_score' : 'best_scores')));

      // The files keep the virtual blocks apart even where the layer sums them.
      const apart = { ...geometry, poolBlocks: geometry.virtualBlocks };
      const { block, slot } = addressValues(
        apart,
        layer,
        selection.virtualIndex,
        await shuffleOf(file, layer),
      );
      if (!isPlus) {
        expect([...block]).toEqual(await ints(vec('block')));
        expect([...slot]).toEqual(await ints(vec('slot')));
      }
      const entryStart = Uint32Array.from(
        { length: request.tokenCount + 1 },
        (_, t) => t * selection.perToken,
      );
      const pooled = await kernels.pool(await loadTable(file, file.valueTable), {
        ...{ tokenCount: request.tokenCount, entryStart, slot, block },
        blockCount: geometry.virtualBlocks,
        weight: selection.scores,
        coreCount: geometry.coreCount,
        pre: await preOf(file, layer, request.tokenCount),
      });
      expectNear(pooled, await readFloats(vec('pooled')));
    }
  });

  it('normalises the keys and scores all of them alike', async () => {
    const { geometry } = file;
    const all = await kernels.scoreKeys(await loadKeys(file, 0, { start: 0, end: geometry.keyCount }), {
      ...(await scoreRequest(file, 0)),
      k: geometry.keyCount,
    });
    const suffix = geometry.family === 'memory_plus' ? '' : '_refine';
    for (const [side, axis] of ['row', 'col'].entries()) {
      const want = await readFloats(file.vector(0, `scores_${axis}${suffix}`)); // [tokens, heads, keys, rank]
      expectNear(inKeyOrder(all, geometry, side), want);
    }
  });

  it('finds the same candidates when the keys lie on three workers', async () => {
    const { geometry } = file;
    const request = await scoreRequest(file, 0);
    const whole = await kernels.scoreKeys(
      await loadKeys(file, 0, { start: 0, end: geometry.keyCount }),
      request,
    );
    const cuts = [0, 1, Math.floor(geometry.keyCount / 2), geometry.keyCount];
    const parts: Candidates[] = [];
    for (let i = 0; i < 3; i++)
      parts.push(
        await kernels.scoreKeys(await loadKeys(file, 0, { start: cuts[i], end: cuts[i + 1] }), request),
      );
    expect(mergeCandidates(geometry, request.collapse, parts.reverse())).toEqual(whole);
  });
});

interface VectorFile {
  geometry: MemoryGeometry;
  norm: { kind: Norm['kind']; eps: number };
  valueTable: string;
  has(name: string): boolean;
  tensor(name: string): TensorSource;
  /** Name of a memory layer's own tensor. */
  layerName(layer: number, part: string): string;
  vectorName(layer: number, part: string): string;
  vector(layer: number, part: string): TensorSource;
}

async function openVectors(name: string): Promise<VectorFile> {
  const bytes = readFileSync(new URL(`../../../test/vectors/${name}.safetensors`, import.meta.url));
  const source = await memoryDirectory('vectors', new Map([[name, bytes]])).open(name);
  const { tensors, metadata, dataOffset } = await readSafetensorsHeader(source!);
  // The layers were run without a transformer, so its head count fits nothing.
  const config = parseModelConfig({ ...JSON.parse(metadata.model_config), n_heads: 1 });
  const ctor = metadata.ctor === undefined ? null : JSON.parse(metadata.ctor);
  const v1 = ctor && {
    rank: ctor.tucker_rank,
    coreCount: ctor.tucker_multihead,
    valueExpand: ctor.value_expand_time,
  };
  // A v1 file is one layer by itself.
  const geometry = memoryGeometry(v1 ? { ...config, memInsertWay: '0:0' } : config, v1 ?? undefined);
  const layerName = (layer: number, part: string) => (v1 ? part : `transformer.mem_blocks.${layer}.${part}`);
  const vectorName = (layer: number, part: string) => (v1 ? `vec.${part}` : `vec.layer${layer}.${part}`);
  const tensor = (tensorName: string): TensorSource => {
    const entry = tensors.find((other) => other.name === tensorName);
    expect(entry, tensorName).toBeDefined();
    const { dtype, shape, begin } = entry!;
    return {
      ...{ name: tensorName, dtype: dtype as DType, shape, file: null },
      read: (first, byteCount) => source!.read(dataOffset + begin + first, byteCount),
    };
  };
  return {
    geometry: geometry!,
    norm: { kind: config.normKind, eps: config.normEps },
    valueTable: v1 ? 'values_for_look_up' : 'transformer.full_memory_layer.values_for_look_up',
    has: (tensorName) => tensors.some((entry) => entry.name === tensorName),
    tensor,
    layerName,
    vectorName,
    vector: (layer, part) => tensor(vectorName(layer, part)),
  };
}

async function loadKeys(file: VectorFile, layer: number, range: Range): Promise<KeyTable> {
  const optional = async (part: string) => {
    const name = file.layerName(layer, part);
    return file.has(name) ? readFloats(file.tensor(name)) : null;
  };
  const norm = {
    ...file.norm,
    weight: await optional('keys_norm.weight'),
    bias: await optional('keys_norm.bias'),
  };
  const keys = file.tensor(file.layerName(layer, 'keys'));
  return kernels.loadKeys(keys, range, file.geometry.family === 'memory_plus' ? null : norm);
}

async function scoreRequest(file: VectorFile, layer: number): Promise<ScoreRequest> {
  const { geometry } = file;
  const query = file.vector(layer, 'query');
  return {
    query: await readFloats(query),
    tokenCount: query.shape[0],
    groupCount: query.shape[1],
    groupOfHead: Uint32Array.from({ length: geometry.headCount }, (_, head) =>
      queryGroupOfHead(geometry, head),
    ),
    collapse: await collapseOf(file, layer),
    k: geometry.topK,
  };
}

async function collapseOf(file: VectorFile, layer: number): Promise<CollapseVectors> {
  if (file.geometry.family === 'memory_plus') {
    const ones = new Float32Array(file.geometry.headCount).fill(1);
    return { row: ones, column: ones };
  }
  return {
    row: await readFloats(file.tensor(file.layerName(layer, 'tucker_core_u'))),
    column: await readFloats(file.tensor(file.layerName(layer, 'tucker_core_v'))),
  };
}

async function coresOf(file: VectorFile, layer: number): Promise<Float32Array | null> {
  const { family, coreCount } = file.geometry;
  if (family === 'memory_plus') return null;
  const cores: number[] = [];
  for (let c = 0; c < coreCount; c++)
    cores.push(...(await readFloats(file.tensor(file.layerName(layer, `tucker_core.${c}`)))));
  return Float32Array.from(cores);
}

async function shuffleOf(file: VectorFile, layer: number) {
  if (file.geometry.family === 'memory_plus') return null;
  const source = file.tensor(file.layerName(layer, 'shuffle_index'));
  return readShuffle(source, virtualValueCount(file.geometry));
}

async function preOf(file: VectorFile, layer: number, tokenCount: number) {
  const { preWidth, preActivation } = file.geometry;
  if (preWidth === 0) return null;
  const projection = await kernels.loadMatrix(file.tensor(file.layerName(layer, 'pre_values_proj.weight')));
  const input = await readFloats(file.vector(layer, 'input'));
  return {
    table: await loadTable(file, 'transformer.full_memory_layer.pre_values_for_look_up'),
    query: await kernels.matmul(projection, input, tokenCount, null),
    activation: preActivation,
  };
}

function loadTable(file: VectorFile, name: string) {
  const source = file.tensor(name);
  const [rows, columns] = source.shape as [number, number];
  return kernels.loadValues(source, { start: 0, end: rows }, { start: 0, end: columns });
}

function sideOf({ index, perSide }: Candidates, { headCount }: MemoryGeometry, side: number): number[] {
  expect(index.length % (headCount * SIDES * perSide)).toBe(0);
  return [...index.filter((_, i) => Math.floor(i / perSide) % SIDES === side)];
}

/** Refined scores of one side as the files have them: `[tokens, heads, keys, rank]`. */
function inKeyOrder(
  { index, refined, perSide }: Candidates,
  { rank }: MemoryGeometry,
  side: number,
): Float32Array {
  const ordered = new Float32Array(refined.length / SIDES);
  for (let i = 0; i < index.length; i++) {
    const list = Math.floor(i / perSide);
    if (list % SIDES !== side) continue;
    const at = (Math.floor(list / SIDES) * perSide + index[i]) * rank;
    ordered.set(refined.subarray(i * rank, (i + 1) * rank), at);
  }
  return ordered;
}

async function ints(source: TensorSource): Promise<number[]> {
  const { buffer, byteOffset, byteLength } = await source.read(0, tensorByteCount(source));
  return Array.from(new BigInt64Array(buffer, byteOffset, byteLength / 8), Number);
}

function expectNear(got: Float32Array, want: Float32Array): void {
  expect(got.length).toBe(want.length);
  let worst = 0;
  for (let i = 0; i < want.length; i++)
    worst = Math.max(worst, Math.abs(got[i] - want[i]) / Math.max(1, Math.abs(want[i])));
  expect(worst).toBeLessThanOrEqual(TOLERANCE);
}
