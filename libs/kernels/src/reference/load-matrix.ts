import { readFloats, type TensorSource } from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import type { ActivationDType } from '../dense.ts';
import type { Matrix } from '../kernels.ts';
import { Resident } from './resident.ts';

/** A dense weight widened to f32, `[rows, columns]`. */
export class ReferenceMatrix extends Resident<Float32Array> implements Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly activations: ActivationDType;

  constructor(weight: Float32Array, rows: number, columns: number, activations: ActivationDType) {
    super(weight);
    assert(weight.length === rows * columns, 'a matrix has rows x columns elements');
    this.rows = rows;
    this.columns = columns;
    this.activations = activations;
  }
}

export async function loadMatrix(
  source: TensorSource,
  activations: ActivationDType = 'F32',
): Promise<ReferenceMatrix> {
  assert(source.shape.length === 2, 'a matrix has two axes');
  const [rows, columns] = source.shape;
  return new ReferenceMatrix(await readFloats(source), rows, columns, activations);
}

/** The matrix behind a handle of this backend. */
export function ownMatrix(handle: Matrix): ReferenceMatrix {
  assert(handle instanceof ReferenceMatrix, 'a matrix is used by the backend that loaded it');
  return handle;
}
