import { assert } from '@ultramem/invariant';

/** The native object behind a handle of the contract. `release` frees it; touching it afterwards is a defect of the caller. */
export abstract class Resident<Handle> {
  readonly #bytes: number;
  readonly #free: (handle: Handle) => void;
  #handle: Handle | null;

  constructor(handle: Handle, bytes: number, free: (handle: Handle) => void) {
    this.#handle = handle;
    this.#bytes = bytes;
    this.#free = free;
  }

  get handle(): Handle {
    assert(this.#handle !== null, 'a handle is not used after its release');
    return this.#handle;
  }

  get residentBytes(): number {
    return this.#handle === null ? 0 : this.#bytes;
  }

  release(): void {
    if (this.#handle !== null) this.#free(this.#handle);
    this.#handle = null;
  }
}
