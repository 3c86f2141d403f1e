import { assert, OperatingError } from '@ultramem/invariant';
import type { ByteSink } from './byte-sink.ts';
import { toFloat32 } from './dtype.ts';
import { quantizeRows } from './int8-rows.ts';
import { invalidCheckpoint } from './invalid-checkpoint.ts';
import type { Checkpoint } from './open-checkpoint.ts';
import { DTYPE_BYTES, rowByteCount, type TensorSource, tensorByteCount } from './tensor-source.ts';
import { safetensorsHeader, type TensorDescription } from './write-safetensors.ts';

const PIECE_BYTES = 8 * 1024 * 1024;

/** A `model.safetensors` that is to be written. */
export interface Conversion {
  /** Of the whole file. */
  byteCount: number;
  /** Of the value and pre-value tables alone, before and after. */
  tableBytes: { before: number; after: number };
  write(sink: ByteSink): Promise<void>;
}

/**
 * The same model with its value and pre-value tables in block-scaled int8 (`int8-rows.ts`), everything else byte for byte. Holds a
 * few pieces of 8 MiB, whatever the tables' size. The configuration belongs to it: `convertedConfig`.
 *
 * @throws OperatingError USAGE for a model without tables of floats; `write` CHECKPOINT_INVALID for a number that is not finite.
 */
export function convertTables(checkpoint: Checkpoint): Conversion {
  const sources = [...checkpoint.tensors.values()];
  const tables = sources.filter(isTable);
  if (tables.length === 0 || tables.some(({ dtype }) => dtype === 'INT8_BLOCK64'))
    throw new OperatingError(
      'USAGE',
      `${checkpoint.name} has ${tables.length === 0 ? 'no value tables' : 'value tables of int8 already'}; expected a model with value tables of floats; give another --model`,
    );
  // Wide elements first keeps all of them aligned; the bytes of the tables come last.
  const kept = sources.filter((source) => !isTable(source)).sort((a, b) => elementBytes(b) - elementBytes(a));
  const layout = safetensorsHeader([...kept.map(describe), ...tables.map(describe)], {
    converted_by: 'ultramem convert',
  });
  const bytes = (sum: number, source: TensorSource): number => sum + tensorByteCount(source);
  return {
    byteCount: layout.fileByteCount,
    tableBytes: {
      before: tables.reduce(bytes, 0),
      after: tables.map((table) => ({ ...table, dtype: 'INT8_BLOCK64' as const })).reduce(bytes, 0),
    },
    write: async (sink) => {
      await sink.write(layout.header);
      for (const source of kept) await copyTensor(source, sink);
      for (const source of tables) await writeInt8(source, sink);
    },
  };
}

/** The text of the converted model's `config.json`. */
export function convertedConfig(configText: string): string {
  return `${JSON.stringify({ ...JSON.parse(configText), value_dtype: 'int8_block64' }, null, 2)}\n`;
}

function isTable({ name }: TensorSource): boolean {
  return name.endsWith('values_for_look_up');
}

function elementBytes({ dtype }: TensorSource): number {
  return dtype === 'INT8_BLOCK64' ? 1 : DTYPE_BYTES[dtype];
}

function describe(source: TensorSource): TensorDescription {
  const { name, dtype, shape } = source;
  if (!isTable(source)) {
    assert(dtype !== 'INT8_BLOCK64', 'only tables are block-scaled');
    return { name, dtype, shape };
  }
  const [rows, width] = shape as [number, number];
  return { name, dtype: 'U8', shape: [rows, rowByteCount('INT8_BLOCK64', { start: 0, end: width })] };
}

async function copyTensor(source: TensorSource, sink: ByteSink): Promise<void> {
  const byteCount = tensorByteCount(source);
  for (let done = 0; done < byteCount; done += PIECE_BYTES)
    await sink.write(await source.read(done, Math.min(PIECE_BYTES, byteCount - done)));
}

async function writeInt8(source: TensorSource, sink: ByteSink): Promise<void> {
  const { name, dtype, shape } = source;
  assert(dtype !== 'I64' && dtype !== 'INT8_BLOCK64', `${name} holds floats`);
  const [rowCount, width] = shape as [number, number];
  const rowBytes = width * DTYPE_BYTES[dtype];
  const perPiece = Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
  for (let row = 0; row < rowCount; row += perPiece) {
    const count = Math.min(perPiece, rowCount - row);
    const values = toFloat32(dtype, await source.read(row * rowBytes, count * rowBytes));
    const bytes = quantizeRows(values, width);
    if (!(bytes instanceof Uint8Array)) {
      const at = bytes.notFinite;
      throw invalidCheckpoint(
        `tensor ${name}, row ${row + Math.floor(at / width)}, column ${at % width} holds ${values[at]}`,
        'finite values, which int8 can hold',
        'convert a checkpoint whose training went well',
      );
    }
    await sink.write(bytes);
  }
}
