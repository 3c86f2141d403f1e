import { assert } from '@ultramem/invariant';

/** The array behind a reference handle. `release` drops it; touching it afterwards is a defect of the caller. */
export abstract class Resident<Elements extends Float32Array | Uint16Array | Uint8Array> {
  #elements: Elements | null;

  constructor(elements: Elements) {
    this.#elements = elements;
  }

  get elements(): Elements {
    assert(this.#elements !== null, 'a handle is not used after its release');
    return this.#elements;
  }

  get residentBytes(): number {
    return this.#elements === null ? 0 : this.#elements.byteLength;
  }

  release(): void {
    this.#elements = null;
  }
}
