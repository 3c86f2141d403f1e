import { readFloats, type TensorSource } from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import { type ActivationDType, activationsFor, assertProduct, dot, type Matrix } from '@ultramem/kernels';
import type { Binding } from './binding.ts';
import { Resident } from './resident.ts';
import { isSettled, normOf, sumBound } from './settled.ts';
import { type TensorId, TYPE, withTensors } from './tensors.ts';

/** Multiplications between two turns of the event loop: some 20 ms on two cores. */
const MACS_PER_CALL = 5e8;

/** A dense weight `[rows, columns]` in f64 on the device, with the norm of each row on the host. */
export class TensorflowMatrix extends Resident implements Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly activations: ActivationDType;
  readonly tensor: TensorId;
  readonly norms: Float64Array;

  constructor(
    binding: Binding,
    tensor: TensorId,
    norms: Float64Array,
    columns: number,
    activations: ActivationDType,
  ) {
    super(binding, [tensor], norms.length * (columns + 1) * Float64Array.BYTES_PER_ELEMENT);
    this.tensor = tensor;
    this.norms = norms;
    this.rows = norms.length;
    this.columns = columns;
    this.activations = activations;
  }
}

export async function loadMatrix(
  binding: Binding,
  source: TensorSource,
  activations: ActivationDType = 'F32',
): Promise<TensorflowMatrix> {
  assert(source.shape.length === 2, 'a matrix has two axes');
  const [rows, columns] = source.shape;
  const weight = new Float64Array(await readFloats(source));
  const norms = Float64Array.from({ length: rows }, (_, row) => normOf(weight, row * columns, columns));
  const tensor = withTensors(binding, (tensors) => tensors.keep(tensors.f64([rows, columns], weight)));
  return new TensorflowMatrix(binding, tensor, norms, columns, activations);
}

/**
 * `x weightᵀ + bias`, summed in f64 on the device in whatever order it likes. The few sums that lie so close to the middle
 * between two f32 that the order matters are computed again in the order of the reference: so the bits are the reference's,
 * on any device and in any batch.
 */
export async function matmul(
  binding: Binding,
  breathe: () => Promise<void>,
  weight: Matrix,
  given: Float32Array,
  rowCount: number,
  bias: Float32Array | null,
): Promise<Float32Array> {
  assert(weight instanceof TensorflowMatrix, 'a matrix is used by the backend that loaded it');
  weight.assertHeld();
  const { rows, columns } = weight;
  assertProduct(weight, given, rowCount, bias);
  const x = activationsFor(weight, given);
  const result = new Float32Array(rowCount * rows);
  const step = Math.max(1, Math.floor(MACS_PER_CALL / Math.max(1, rows * columns)));
  for (let first = 0; first < rowCount && rows > 0; first += step) {
    if (first > 0) await breathe();
    const count = Math.min(step, rowCount - first);
    const part = x.subarray(first * columns, (first + count) * columns);
    multiply(binding, weight, part, bias, result.subarray(first * rows, (first + count) * rows));
  }
  return result;
}

function multiply(
  binding: Binding,
  weight: TensorflowMatrix,
  x: Float32Array,
  bias: Float32Array | null,
  into: Float32Array,
): void {
  const { rows, columns, norms } = weight;
  const rowCount = into.length / rows;
  const sums = withTensors(binding, (tensors) =>
    tensors.readF64(tensors.matmul(TYPE.F64, tensors.widened([rowCount, columns], x), weight.tensor, true)),
  );
  const doubtful = new Map<number, number[]>(); // weight row to rows of x
  for (let i = 0, at = 0; i < rowCount; i++) {
    const norm = normOf(x, i * columns, columns);
    for (let row = 0; row < rows; row++, at++) {
      const sum = sums[at] + (bias === null ? 0 : bias[row]);
      // The sum with the bias is rounded once more.
      const bound = sumBound(columns, norm * norms[row]) + 2 ** -51 * Math.abs(sum);
      if (bias === null ? isSettled(sum, sumBound(columns, norm * norms[row])) : isSettled(sum, bound))
        into[at] = sum + 0;
      else doubtful.set(row, [...(doubtful.get(row) ?? []), i]);
    }
  }
  if (doubtful.size === 0) return;
  const weights = readRows(binding, weight, Uint32Array.from(doubtful.keys()));
  for (const [place, [row, batch]] of [...doubtful].entries())
    for (const i of batch)
      into[i * rows + row] =
        dot(weights, place * columns, x, i * columns, columns) + (bias === null ? 0 : bias[row]);
}

function readRows(binding: Binding, { tensor }: TensorflowMatrix, rows: Uint32Array): Float32Array {
  return withTensors(binding, (tensors) =>
    Float32Array.from(tensors.readF64(tensors.gather(tensor, TYPE.F64, tensors.indices(rows), TYPE.I64, 0))),
  );
}
