import {
  type Checkpoint,
  memoryTensorName,
  preValueTableName,
  readFloats,
  rowByteCount,
  type TensorSource,
  valueTableName,
} from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import { type CollapseVectors, type Range, rangeLength, SIDES } from '@ultramem/ultramem';
import type { Kernels, KeyTable, ValueTable } from './kernels.ts';
import { createLoadProgress } from './load-progress.ts';

/** What a process holds of the memory of a model: some key rows and a rectangle of the value tables, for every memory layer. */
export interface MemoryTables {
  layers: {
    keys: KeyTable | null;
    collapse: CollapseVectors;
    values: ValueTable | null;
    pre: ValueTable | null;
  }[];
  residentBytes: number;
  release(): void;
}

/** Which part of the memory to hold: null stands for nothing of that kind. Ranges are the same for every layer and table. */
export interface MemoryPart {
  keys: Range | null;
  values: { rows: Range; columns: Range; preColumns: Range } | null;
}

/** Loads a part of every memory layer. Tables that layers share are held once. One function for workers, coordinator and oracle. */
export async function loadMemoryTables(
  checkpoint: Checkpoint,
  kernels: Kernels,
  part: MemoryPart,
  onProgress: (readBytes: number, totalBytes: number) => void = () => {},
): Promise<MemoryTables> {
  const { geometry } = checkpoint;
  assert(geometry !== null, 'only models with memory layers are loaded this way');
  const held: { residentBytes: number; release(): void }[] = [];
  let residentBytes = 0;
  const release = (): void => {
    for (const handle of held) handle.release();
  };
  const progress = createLoadProgress(storedBytes(checkpoint, part), onProgress);
  const source = (name: string): TensorSource => {
    const tensor = checkpoint.tensor(name);
    const read = async (first: number, byteCount: number) => {
      const bytes = await tensor.read(first, byteCount);
      progress.read(byteCount);
      return bytes;
    };
    return { ...tensor, read };
  };
  const hold = async <T extends { residentBytes: number; release(): void }>(
    loading: Promise<T>,
    storedBytes: number,
  ): Promise<T> => {
    const handle = await loading;
    held.push(handle);
    residentBytes += handle.residentBytes;
    progress.held(storedBytes);
    return handle;
  };
  const holdTable = (name: string, rows: Range, columns: Range): Promise<ValueTable> =>
    hold(kernels.loadValues(source(name), rows, columns), tableBytes(checkpoint, name, rows, columns));
  const loadValues = async (layer: number) => {
    if (part.values === null) return { values: null, pre: null };
    const { rows, columns, preColumns } = part.values;
    const values = await holdTable(valueTableName(geometry, layer), rows, columns);
    const pre =
      rangeLength(preColumns) > 0 ? await holdTable(preValueTableName(geometry), rows, preColumns) : null;
    return { values, pre };
  };
  try {
    const shared = geometry.sharedTable ? await loadValues(0) : null;
    const layers: MemoryTables['layers'] = [];
    for (let layer = 0; layer < geometry.layerCount; layer++) {
      const keys =
        part.keys === null || rangeLength(part.keys) === 0
          ? null
          : await hold(
              loadKeys(checkpoint, kernels, layer, source(memoryTensorName(layer, 'keys')), part.keys),
              keyBytes(checkpoint, part.keys),
            );
      layers.push({
        keys,
        collapse: await loadCollapse(checkpoint, layer),
        ...(shared ?? (await loadValues(layer))),
      });
    }
    return { layers, residentBytes, release };
  } catch (error) {
    release();
    throw error;
  }
}

/** `tucker_core_u` and `_v` of a layer; ones for Memory+, whose scores need no collapsing. */
export async function loadCollapse(checkpoint: Checkpoint, layer: number): Promise<CollapseVectors> {
  const { geometry } = checkpoint;
  assert(geometry !== null, 'the model has memory layers');
  if (geometry.family === 'memory_plus') {
    const ones = new Float32Array(geometry.headCount).fill(1);
    return { row: ones, column: ones };
  }
  return {
    row: await readFloats(checkpoint.tensor(memoryTensorName(layer, 'tucker_core_u'))),
    column: await readFloats(checkpoint.tensor(memoryTensorName(layer, 'tucker_core_v'))),
  };
}

async function loadKeys(
  checkpoint: Checkpoint,
  kernels: Kernels,
  layer: number,
  source: TensorSource,
  range: Range,
): Promise<KeyTable> {
  // Memory+ evaluates keys_norm and throws the result away (SEMANTICS 6.2).
  if (checkpoint.config.memFamily === 'memory_plus') return kernels.loadKeys(source, range, null);
  const optional = async (suffix: 'weight' | 'bias') => {
    const name = memoryTensorName(layer, `keys_norm.${suffix}`);
    return checkpoint.has(name) ? readFloats(checkpoint.tensor(name)) : null;
  };
  const { normKind: kind, normEps: eps } = checkpoint.config;
  return kernels.loadKeys(source, range, {
    kind,
    eps,
    weight: await optional('weight'),
    bias: await optional('bias'),
  });
}

/** Bytes of the part as the checkpoint stores them. */
function storedBytes(checkpoint: Checkpoint, part: MemoryPart): number {
  const { geometry } = checkpoint;
  assert(geometry !== null, 'the model has memory layers');
  let bytes = part.keys === null ? 0 : geometry.layerCount * keyBytes(checkpoint, part.keys);
  if (part.values !== null) {
    const { rows, columns, preColumns } = part.values;
    const tableCount = geometry.sharedTable ? 1 : geometry.layerCount;
    bytes += tableCount * tableBytes(checkpoint, valueTableName(geometry, 0), rows, columns);
    if (geometry.preWidth > 0) bytes += tableBytes(checkpoint, preValueTableName(geometry), rows, preColumns);
  }
  return bytes;
}

function tableBytes(checkpoint: Checkpoint, name: string, rows: Range, columns: Range): number {
  return rangeLength(rows) * rowByteCount(checkpoint.tensor(name).dtype, columns);
}

/** Of one layer. */
function keyBytes(checkpoint: Checkpoint, range: Range): number {
  const { geometry } = checkpoint;
  assert(geometry !== null, 'the model has memory layers');
  const { headCount, keyWidth, rank } = geometry;
  const { dtype } = checkpoint.tensor(memoryTensorName(0, 'keys'));
  return headCount * SIDES * rangeLength(range) * rowByteCount(dtype, { start: 0, end: keyWidth * rank });
}
