import type { TensorSource } from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import { type KeyTable, loadReferenceKeys, type Norm, type ReferenceKeys } from '@ultramem/kernels';
import { type CollapseVectors, type Range, rangeLength, SIDES } from '@ultramem/ultramem';
import type { Binding } from './binding.ts';
import { type FoldedKeys, foldKeys } from './fold-keys.ts';
import { Resident } from './resident.ts';
import { normOf } from './settled.ts';
import { type TensorId, withTensors } from './tensors.ts';

/**
 * Normalised keys: in f64 on the device for the refined scores, in f32 on the host for those whose rounding is in doubt, and
 * folded with the collapse vectors for the first choice. A list is one head and side.
 */
export class TensorflowKeys extends Resident implements KeyTable {
  readonly headCount: number;
  readonly range: Range;
  readonly width: number;
  readonly rank: number;
  /** `[lists, keys, rank, width]` */
  readonly host: Float32Array;
  /** `[lists, keys * rank, width]` in f64. */
  readonly exact: TensorId;
  /** `[lists, keys, rank]` Euclidean norms of the rows. */
  readonly norms: Float64Array;
  /** `[lists]` the greatest of them. */
  readonly normMax: Float64Array;
  readonly #binding: Binding;
  #folded: FoldedKeys | null = null;

  constructor(binding: Binding, keys: ReferenceKeys) {
    const { headCount, range, width, rank, elements } = keys;
    const [lists, rows] = [headCount * SIDES, rangeLength(range) * rank];
    const exact = withTensors(binding, (tensors) =>
      tensors.keep(tensors.widened([lists, rows, width], elements)),
    );
    // f64 on the device, f32 on the host, and about as much again in f32 for the folded keys.
    super(binding, [exact], elements.length * 12 + (elements.length / rank) * 4);
    this.headCount = headCount;
    this.range = range;
    this.width = width;
    this.rank = rank;
    this.host = elements;
    this.exact = exact;
    this.norms = Float64Array.from({ length: lists * rows }, (_, row) =>
      normOf(elements, row * width, width),
    );
    this.normMax = Float64Array.from({ length: lists }, (_, list) =>
      this.norms.subarray(list * rows, (list + 1) * rows).reduce((max, norm) => Math.max(max, norm), 0),
    );
    this.#binding = binding;
  }

  /** The folded keys of these collapse vectors; those of the last ones are kept, because a layer has only one pair. */
  folded(collapse: CollapseVectors): FoldedKeys {
    if (this.#folded === null || !sameCollapse(this.#folded.collapse, collapse)) {
      this.#dropFolded();
      this.#folded = foldKeys(this.#binding, this, collapse);
    }
    return this.#folded;
  }

  override release(): void {
    this.#dropFolded();
    super.release();
  }

  #dropFolded(): void {
    if (this.#folded !== null) this.#binding.deleteTensor(this.#folded.tensor);
    this.#folded = null;
  }
}

export async function loadKeys(
  binding: Binding,
  source: TensorSource,
  range: Range,
  norm: Norm | null,
): Promise<TensorflowKeys> {
  return new TensorflowKeys(binding, await loadReferenceKeys(source, range, norm));
}

export function ownKeys(handle: KeyTable): TensorflowKeys {
  assert(handle instanceof TensorflowKeys, 'a key table is used by the backend that loaded it');
  handle.assertHeld();
  return handle;
}

function sameCollapse(a: CollapseVectors, b: CollapseVectors): boolean {
  const same = (x: Float32Array, y: Float32Array) =>
    x.length === y.length && x.every((value, i) => value === y[i]);
  return same(a.row, b.row) && same(a.column, b.column);
}
