import { OperatingError } from '@ultramem/invariant';
import type { Binding } from './binding.ts';
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

let made = 0;

/** A resource variable `[rows, width]` on the device, written in pieces and read by rows. */
export class TableVariable {
  readonly type: Type;
  readonly #binding: Binding;
  readonly #width: number;
  readonly #handle: TensorId;

  /**
   * Of zeros: it has its whole size before the first piece arrives.
   *
   * @throws OperatingError BACKEND_UNAVAILABLE when the device has no room for it
   */
  constructor(binding: Binding, type: Type, rows: number, width: number) {
    this.type = type;
    this.#binding = binding;
    this.#width = width;
    const name = `ultramem-${process.pid}-${made++}`;
    this.#handle = withTensors(binding, (tensors) => {
      const handle = tensors.run(
        'VarHandleOp',
        [
          ...[typeOf('dtype', type), shapeOf('shape', [rows, width])],
          ...[stringOf('container', ''), stringOf('shared_name', name)],
        ],
        [],
      );
      const zero = tensors.cast(tensors.f32([], Float32Array.of(0)), TYPE.F32, type);
      tensors.runMany(
        'AssignVariableOp',
        [typeOf('dtype', type)],
        [handle, fill(tensors, type, rows, width, zero)],
        0,
      );
      return tensors.keep(handle);
    });
  }

  /** Rows `first .. first + count - 1` from their bytes. */
  write(first: number, count: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    withTensors(this.#binding, (tensors) => {
      const elementBytes = bytes.length / (count * this.#width);
      const size = elementBytes === 1 ? [] : [elementBytes];
      const stored = tensors.bitcast(tensors.bytes([count, this.#width, ...size], bytes), TYPE.U8, this.type);
      const places = tensors.indices(Uint32Array.from({ length: count }, (_, i) => first + i));
      tensors.runMany(
        'ResourceScatterUpdate',
        [typeOf('dtype', this.type), typeOf('Tindices', TYPE.I64)],
        [this.#handle, places, stored],
        0,
      );
    });
  }

  /** `[rows.length, width]` */
  gather(tensors: Tensors, rows: Uint32Array): TensorId {
    return tensors.run(
      'ResourceGather',
      [
        ...[typeOf('dtype', this.type), typeOf('Tindices', TYPE.I64)],
        ...[intOf('batch_dims', 0), boolOf('validate_indices', true)],
      ],
      [this.#handle, tensors.indices(rows)],
    );
  }

  destroy(): void {
    this.#binding.executeOp('DestroyResourceOp', [boolOf('ignore_lookup_error', false)], [this.#handle], 0);
    this.#binding.deleteTensor(this.#handle);
  }
}

function fill(tensors: Tensors, type: Type, rows: number, width: number, value: TensorId): TensorId {
  try {
    return tensors.run(
      'Fill',
      [typeOf('T', type), typeOf('index_type', TYPE.I32)],
      [tensors.i32([2], [rows, width]), value],
    );
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new OperatingError(
      'BACKEND_UNAVAILABLE',
      `TensorFlow has no room for a table of ${rows} rows and ${width} columns (${reason}); expected as much free memory on the device; use more workers, or another backend`,
    );
  }
}
