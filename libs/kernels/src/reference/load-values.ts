import {
  type DType,
  dequantizeRow,
  f16ToF32,
  readRectangle,
  rowByteCount,
  type TensorSource,
} from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import { type Range, rangeLength } from '@ultramem/ultramem';
import type { ValueTable } from '../kernels.ts';
import { Resident } from './resident.ts';

/** One row, widened; `words` are the bits of `floats`. */
export interface RowBuffer {
  floats: Float32Array; // [table columns]
  words: Uint32Array;
}

type Elements = Float32Array | Uint16Array | Uint8Array;

/** A rectangle of a table in its stored dtype: narrow rows stay narrow and are widened as they are gathered. */
export class ReferenceValues extends Resident<Elements> implements ValueTable {
  readonly dtype: DType;
  readonly rows: Range;
  readonly columns: Range;
  readonly fullWidth: number;

  constructor(elements: Elements, dtype: DType, shape: { rows: Range; columns: Range; fullWidth: number }) {
    super(elements);
    assert(
      elements.byteLength === rangeLength(shape.rows) * rowByteCount(dtype, shape.columns),
      'the elements fill the rectangle',
    );
    this.dtype = dtype;
    this.rows = shape.rows;
    this.columns = shape.columns;
    this.fullWidth = shape.fullWidth;
  }

  /** Widens row `row`, counted from the first of the handle. */
  readRow(row: number, into: RowBuffer): void {
    const { elements } = this;
    const at = row * rangeLength(this.columns);
    if (elements instanceof Uint8Array) dequantizeRow(elements, row, this.columns, into.floats);
    else if (elements instanceof Float32Array) copyRow(elements, at, into.floats);
    else if (this.dtype === 'BF16') widenBf16Row(elements, at, into.words);
    else widenF16Row(elements, at, into.floats);
  }
}

export async function loadValues(
  source: TensorSource,
  rows: Range,
  columns: Range,
): Promise<ReferenceValues> {
  const { dtype, shape } = source;
  assert(shape.length === 2, 'a value table has two axes');
  assert(dtype !== 'I64', 'a value table holds no integers');
  assert(rows.start <= rows.end && rows.end <= shape[0], 'the rows lie inside the table');
  assert(columns.start <= columns.end && columns.end <= shape[1], 'the columns lie inside the table');
  const bytes = await readRectangle(source, rows, columns);
  return new ReferenceValues(elementsOf(bytes, dtype), dtype, { rows, columns, fullWidth: shape[1] });
}

function elementsOf(bytes: Uint8Array, dtype: DType): Elements {
  if (dtype === 'INT8_BLOCK64') return bytes;
  const { buffer, byteOffset, byteLength } = bytes;
  return dtype === 'F32'
    ? new Float32Array(buffer, byteOffset, byteLength / 4)
    : new Uint16Array(buffer, byteOffset, byteLength / 2);
}

// One function per element type, because a loop that meets several of them runs ten times slower.

function copyRow(elements: Float32Array, at: number, into: Float32Array): void {
  for (let c = 0; c < into.length; c++) into[c] = elements[at + c];
}

/** A bf16 is the upper half of an f32. */
function widenBf16Row(elements: Uint16Array, at: number, into: Uint32Array): void {
  for (let c = 0; c < into.length; c++) into[c] = elements[at + c] << 16;
}

function widenF16Row(elements: Uint16Array, at: number, into: Float32Array): void {
  for (let c = 0; c < into.length; c++) into[c] = f16ToF32(elements[at + c]);
}

/** The table behind a handle of this backend. */
export function ownValues(handle: ValueTable): ReferenceValues {
  assert(handle instanceof ReferenceValues, 'a value table is used by the backend that loaded it');
  return handle;
}

export function rowBuffer(table: ReferenceValues): RowBuffer {
  const words = new Uint32Array(rangeLength(table.columns));
  return { words, floats: new Float32Array(words.buffer) };
}
