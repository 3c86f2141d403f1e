import { assert } from '@ultramem/invariant';
import type { Binding } from './binding.ts';
import type { TensorId } from './tensors.ts';

/** Tensors that stay on the device until they are released. */
export abstract class Resident {
  readonly #binding: Binding;
  readonly #bytes: number;
  #tensors: readonly TensorId[] | null;

  /** @param tensors deleted when the handle is released */
  constructor(binding: Binding, tensors: readonly TensorId[], bytes: number) {
    this.#binding = binding;
    this.#tensors = tensors;
    this.#bytes = bytes;
  }

  get residentBytes(): number {
    return this.#tensors === null ? 0 : this.#bytes;
  }

  release(): void {
    for (const id of this.#tensors ?? []) this.#binding.deleteTensor(id);
    this.#tensors = null;
  }

  assertHeld(): void {
    assert(this.#tensors !== null, 'a handle is not used after its release');
  }
}
