import { type DType, readRectangle, rowByteCount, type TensorSource, toFloat32 } from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import type { ValueTable } from '@ultramem/kernels';
import { type Range, rangeLength, SCALE_BLOCK, scaleCount } from '@ultramem/ultramem';
import type { Binding } from './binding.ts';
import { TableVariable } from './table-variable.ts';
import { type TensorId, type Tensors, TYPE, type Type } from './tensors.ts';
import { largestInt8, type ValueSpan, widenSpan } from './value-span.ts';

type ValueType = Exclude<DType, 'I64'>;

const STORED: Record<ValueType, Type> = {
  F32: TYPE.F32,
  F16: TYPE.F16,
  BF16: TYPE.BF16,
  INT8_BLOCK64: TYPE.I8,
};
/** What is read and written to the device at once. */
const PIECE_BYTES = 32 * 1024 * 1024;

interface ValueShape {
  dtype: ValueType;
  rows: Range;
  columns: Range;
  fullWidth: number;
}

/** A rectangle of a table in its stored dtype on the device; the scales of int8 rows in a variable of their own. */
export class TensorflowValues implements ValueTable {
  readonly dtype: ValueType;
  readonly rows: Range;
  readonly columns: Range;
  readonly fullWidth: number;
  /** Of what has been written so far. */
  readonly span: ValueSpan = { largest: 0 };
  readonly #values: TableVariable;
  readonly #scales: TableVariable | null;
  /** Of each column, which of the row's scales it takes. */
  readonly #scaleOfColumn: Uint32Array;
  #isHeld = true;

  constructor(binding: Binding, { dtype, rows, columns, fullWidth }: ValueShape) {
    this.dtype = dtype;
    this.rows = rows;
    this.columns = columns;
    this.fullWidth = fullWidth;
    const rowCount = rangeLength(rows);
    const firstBlock = Math.floor(columns.start / SCALE_BLOCK);
    this.#scaleOfColumn = Uint32Array.from(
      { length: rangeLength(columns) },
      (_, c) => Math.floor((columns.start + c) / SCALE_BLOCK) - firstBlock,
    );
    this.#values = new TableVariable(binding, STORED[dtype], rowCount, rangeLength(columns));
    this.#scales =
      dtype === 'INT8_BLOCK64' ? new TableVariable(binding, TYPE.BF16, rowCount, scaleCount(columns)) : null;
  }

  get residentBytes(): number {
    return this.#isHeld ? rangeLength(this.rows) * rowByteCount(this.dtype, this.columns) : 0;
  }

  /** Greatest absolute value; infinite where the device's arithmetic would not be exact: for denormal, infinite and NaN values. */
  get largest(): number {
    return this.span.largest;
  }

  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#values.destroy();
    this.#scales?.destroy();
  }

  assertHeld(): void {
    assert(this.#isHeld, 'a handle is not used after its release');
  }

  /** Writes local rows `first ..`, as they are stored. */
  write(first: number, count: number, bytes: Uint8Array): void {
    if (this.dtype !== 'INT8_BLOCK64') {
      widenSpan(this.span, this.dtype, bytes);
      this.#values.write(first, count, bytes);
      return;
    }
    const [width, rowBytes] = [rangeLength(this.columns), rowByteCount(this.dtype, this.columns)];
    const values = new Uint8Array(count * width);
    const scales = new Uint8Array(count * (rowBytes - width));
    for (let row = 0; row < count; row++) {
      values.set(bytes.subarray(row * rowBytes, row * rowBytes + width), row * width);
      scales.set(bytes.subarray(row * rowBytes + width, (row + 1) * rowBytes), row * (rowBytes - width));
    }
    this.span.largest = Math.max(this.span.largest, largestInt8(scales));
    this.#values.write(first, count, values);
    this.#scales?.write(first, count, scales);
  }

  /** Local rows in f64, `[local.length, columns]`; exact where `largest` is finite. */
  gatherWide(tensors: Tensors, local: Uint32Array): TensorId {
    const values = tensors.cast(this.#values.gather(tensors, local), STORED[this.dtype], TYPE.F64);
    if (this.#scales === null) return values;
    const scales = tensors.cast(this.#scales.gather(tensors, local), TYPE.BF16, TYPE.F64);
    const places = tensors.indices(this.#scaleOfColumn);
    return tensors.multiply(values, tensors.gatherColumns(scales, TYPE.F64, places));
  }

  /** Local rows in f32 on the host, by their bits. */
  readRows(tensors: Tensors, local: Uint32Array): Float32Array {
    const rows = this.#values.gather(tensors, local);
    if (this.dtype === 'F32') return tensors.readF32(rows);
    if (this.dtype !== 'INT8_BLOCK64')
      return toFloat32(this.dtype, halves(tensors, rows, STORED[this.dtype]));
    const values = tensors.readI32(tensors.cast(rows, TYPE.I8, TYPE.I32));
    if (this.#scales === null) return Float32Array.from(values);
    const scales = toFloat32('BF16', halves(tensors, this.#scales.gather(tensors, local), TYPE.BF16));
    const width = rangeLength(this.columns);
    const blocks = scales.length / local.length;
    return Float32Array.from(
      values,
      (value, i) => value * scales[Math.floor(i / width) * blocks + this.#scaleOfColumn[i % width]],
    );
  }
}

/** The bytes of elements of two bytes. */
function halves(tensors: Tensors, x: TensorId, type: Type): Uint8Array {
  const wide = tensors.cast(tensors.bitcast(x, type, TYPE.I16), TYPE.I16, TYPE.I32);
  return new Uint8Array(Uint16Array.from(tensors.readI32(wide)).buffer);
}

export async function loadValues(
  binding: Binding,
  source: TensorSource,
  rows: Range,
  columns: Range,
): Promise<TensorflowValues> {
  const { dtype, shape } = source;
  assert(shape.length === 2, 'a value table has two axes');
  assert(dtype !== 'I64', 'a value table holds no integers');
  assert(rows.start <= rows.end && rows.end <= shape[0], 'the rows lie inside the table');
  assert(columns.start <= columns.end && columns.end <= shape[1], 'the columns lie inside the table');
  const table = new TensorflowValues(binding, { dtype, rows, columns, fullWidth: shape[1] });
  const rowBytes = rowByteCount(dtype, columns);
  const step = Math.max(1, Math.floor(PIECE_BYTES / Math.max(1, rowBytes)));
  try {
    for (let start = rows.start; start < rows.end && rowBytes > 0; start += step) {
      const piece = { start, end: Math.min(start + step, rows.end) };
      table.write(start - rows.start, rangeLength(piece), await readRectangle(source, piece, columns));
    }
    return table;
  } catch (error) {
    table.release();
    throw error;
  }
}

/** The table behind a handle of this backend. */
export function ownValues(handle: ValueTable): TensorflowValues {
  assert(handle instanceof TensorflowValues, 'a value table is used by the backend that loaded it');
  handle.assertHeld();
  return handle;
}
