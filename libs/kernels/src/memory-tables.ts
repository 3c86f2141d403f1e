import {
  type Checkpoint,
  DTYPE_BYTES,
  memoryTensorName,
  preValueTableName,
  readFloats,
  type TensorSource,
  valueTableName,
} from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import { type CollapseVectors, type Range, rangeLength, SIDES } from '@ultramem/ultramem';
import type { Kernels, KeyTable, ValueTable } from './kernels.ts';

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
  let readBytes = 0;
  const totalBytes = storedBytes(checkpoint, part);
  const source = (name: string): TensorSource => {
    const tensor = checkpoint.tensor(name);
    const read = async (first: number, byteCount: number) => {
      const bytes = await tensor.read(first, byteCount);
      readBytes += byteCount;
      onProgress(Math.min(readBytes, totalBytes), totalBytes);
      return bytes;
    };
    return { ...tensor, read };
  };
  const hold = async <T extends { residentBytes: number; release(): void }>(
    loading: Promise<T>,
  ): Promise<T> => {
    const handle = await loading;
    held.push(handle);
    residentBytes += handle.residentBytes;
    return handle;
  };
  const loadValues = async (layer: number) => {
    if (part.values === null) return { values: null, pre: null };
    const { rows, columns, preColumns } = part.values;
    const values = await hold(kernels.loadValues(source(valueTableName(geometry, layer)), rows, columns));
    const pre =
      rangeLength(preColumns) > 0
        ? await hold(kernels.loadValues(source(preValueTableName(geometry)), rows, preColumns))
        : null;
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
  const elementBytes = (name: string) => DTYPE_BYTES[checkpoint.tensor(name).dtype];
  const { layerCount, headCount, keyWidth, rank } = geometry;
  let bytes = 0;
  if (part.keys !== null)
    bytes +=
      layerCount *
      headCount *
      SIDES *
      rangeLength(part.keys) *
      keyWidth *
      rank *
      elementBytes(memoryTensorName(0, 'keys'));
  if (part.values !== null) {
    const { rows, columns, preColumns } = part.values;
    const tableCount = geometry.sharedTable ? 1 : layerCount;
    bytes +=
      tableCount * rangeLength(rows) * rangeLength(columns) * elementBytes(valueTableName(geometry, 0));
    if (geometry.preWidth > 0)
      bytes += rangeLength(rows) * rangeLength(preColumns) * elementBytes(preValueTableName(geometry));
  }
  return bytes;
}
