import {
  DTYPE_BYTES,
  type FloatDType,
  floatSource,
  readRectangle,
  type TensorSource,
  toFloat32,
} from '@ultramem/checkpoint';
import { assert, OperatingError } from '@ultramem/invariant';
import type { ValueTable } from '@ultramem/kernels';
import { type Range, rangeLength } from '@ultramem/ultramem';
import type { Binding } from './binding.ts';
import { Resident } from './resident.ts';
import {
  boolOf,
  intOf,
  shapeOf,
  stringOf,
  type TensorId,
  type Tensors,
  TYPE,
  type Type,
  typeOf,
  withTensors,
} from './tensors.ts';
import { type ValueSpan, widenSpan } from './value-span.ts';

const STORED: Record<FloatDType, Type> = { F32: TYPE.F32, F16: TYPE.F16, BF16: TYPE.BF16 };
/** What is read and written to the device at once. */
const PIECE_BYTES = 32 * 1024 * 1024;

let tablesMade = 0;

interface ValueShape {
  dtype: FloatDType;
  rows: Range;
  columns: Range;
  fullWidth: number;
}

/** A rectangle of a table in its stored dtype, a resource variable on the device. */
export class TensorflowValues extends Resident implements ValueTable {
  readonly dtype: FloatDType;
  readonly rows: Range;
  readonly columns: Range;
  readonly fullWidth: number;
  /** Of what has been written so far. */
  readonly span: ValueSpan = { largest: 0 };
  readonly #binding: Binding;
  readonly #variable: TensorId;

  constructor(binding: Binding, { dtype, rows, columns, fullWidth }: ValueShape) {
    const size = [rangeLength(rows), rangeLength(columns)] as const;
    const variable = createVariable(binding, STORED[dtype], size);
    super(binding, [variable], size[0] * size[1] * DTYPE_BYTES[dtype]);
    this.dtype = dtype;
    this.rows = rows;
    this.columns = columns;
    this.fullWidth = fullWidth;
    this.#binding = binding;
    this.#variable = variable;
  }

  /** Greatest absolute value; infinite where the device's arithmetic would not be exact: for denormal, infinite and NaN values. */
  get largest(): number {
    return this.span.largest;
  }

  /** Writes local rows `first ..`, as they are stored. */
  write(first: number, count: number, bytes: Uint8Array): void {
    const type = STORED[this.dtype];
    const shape = [count, rangeLength(this.columns), DTYPE_BYTES[this.dtype]];
    widenSpan(this.span, this.dtype, bytes);
    withTensors(this.#binding, (tensors) => {
      const stored = tensors.bitcast(tensors.bytes(shape, bytes), TYPE.U8, type);
      const places = tensors.indices(Uint32Array.from({ length: count }, (_, i) => first + i));
      tensors.runMany(
        'ResourceScatterUpdate',
        [typeOf('dtype', type), typeOf('Tindices', TYPE.I64)],
        [this.#variable, places, stored],
        0,
      );
    });
  }

  /** Local rows in their stored dtype, `[local.length, columns]`. */
  gather(tensors: Tensors, local: Uint32Array): TensorId {
    return tensors.run(
      'ResourceGather',
      [
        typeOf('dtype', STORED[this.dtype]),
        typeOf('Tindices', TYPE.I64),
        intOf('batch_dims', 0),
        boolOf('validate_indices', true),
      ],
      [this.#variable, tensors.indices(local)],
    );
  }

  /** Local rows in f64; exact where `largest` is finite. */
  gatherWide(tensors: Tensors, local: Uint32Array): TensorId {
    return tensors.cast(this.gather(tensors, local), STORED[this.dtype], TYPE.F64);
  }

  /** Local rows in f32 on the host, by their bits. */
  readRows(tensors: Tensors, local: Uint32Array): Float32Array {
    const rows = this.gather(tensors, local);
    if (this.dtype === 'F32') return tensors.readF32(rows);
    const halves = tensors.bitcast(rows, STORED[this.dtype], TYPE.I16);
    const words = Uint16Array.from(tensors.readI32(tensors.cast(halves, TYPE.I16, TYPE.I32)));
    return toFloat32(this.dtype, new Uint8Array(words.buffer));
  }

  protected override discard(binding: Binding, id: TensorId): void {
    binding.executeOp('DestroyResourceOp', [boolOf('ignore_lookup_error', false)], [id], 0);
    super.discard(binding, id);
  }
}

export async function loadValues(
  binding: Binding,
  source: TensorSource,
  rows: Range,
  columns: Range,
): Promise<TensorflowValues> {
  const floats = floatSource(source); // the device has no op for block-scaled int8
  const { dtype, shape } = floats;
  assert(shape.length === 2, 'a value table has two axes');
  assert(rows.start <= rows.end && rows.end <= shape[0], 'the rows lie inside the table');
  assert(columns.start <= columns.end && columns.end <= shape[1], 'the columns lie inside the table');
  const table = new TensorflowValues(binding, { dtype, rows, columns, fullWidth: shape[1] });
  const rowBytes = rangeLength(columns) * DTYPE_BYTES[dtype];
  const step = Math.max(1, Math.floor(PIECE_BYTES / Math.max(1, rowBytes)));
  try {
    for (let start = rows.start; start < rows.end && rowBytes > 0; start += step) {
      const piece = { start, end: Math.min(start + step, rows.end) };
      table.write(start - rows.start, rangeLength(piece), await readRectangle(floats, piece, columns));
    }
    return table;
  } catch (error) {
    table.release();
    throw error;
  }
}

/**
 * A variable of zeros: it has its whole size before the first piece arrives.
 *
 * @throws OperatingError BACKEND_UNAVAILABLE when the device has no room for it
 */
function createVariable(binding: Binding, type: Type, shape: readonly [number, number]): TensorId {
  const name = `ultramem-${process.pid}-${tablesMade++}`;
  return withTensors(binding, (tensors) => {
    const handle = tensors.run(
      'VarHandleOp',
      [
        ...[typeOf('dtype', type), shapeOf('shape', shape)],
        ...[stringOf('container', ''), stringOf('shared_name', name)],
      ],
      [],
    );
    const zero = tensors.cast(tensors.f32([], Float32Array.of(0)), TYPE.F32, type);
    const zeros = fill(tensors, type, shape, zero);
    tensors.runMany('AssignVariableOp', [typeOf('dtype', type)], [handle, zeros], 0);
    return tensors.keep(handle);
  });
}

function fill(tensors: Tensors, type: Type, shape: readonly [number, number], value: TensorId): TensorId {
  try {
    return tensors.run(
      'Fill',
      [typeOf('T', type), typeOf('index_type', TYPE.I32)],
      [tensors.i32([2], shape), value],
    );
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new OperatingError(
      'BACKEND_UNAVAILABLE',
      `TensorFlow has no room for a table of ${shape[0]} rows and ${shape[1]} columns (${reason}); expected as much free memory on the device; use more workers, or another backend`,
    );
  }
}

/** The table behind a handle of this backend. */
export function ownValues(handle: ValueTable): TensorflowValues {
  assert(handle instanceof TensorflowValues, 'a value table is used by the backend that loaded it');
  handle.assertHeld();
  return handle;
}

/**
 * Rows of the handle that hold slots of the whole table. Checked here, because a GPU answers zeros for rows that are not there.
 *
 * @throws OperatingError SLOT_OUT_OF_RANGE
 */
export function localRows({ rows: { start, end } }: TensorflowValues, slot: Uint32Array): Uint32Array {
  const local = new Uint32Array(slot.length);
  for (let i = 0; i < slot.length; i++) {
    if (slot[i] < start || slot[i] >= end)
      throw new OperatingError(
        'SLOT_OUT_OF_RANGE',
        `slot ${slot[i]} was asked for; expected a slot of ${start} to ${end - 1}; check that both sides hold the same plan and model`,
      );
    local[i] = slot[i] - start;
  }
  return local;
}
