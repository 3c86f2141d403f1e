/**
 * What is under way on one connection, in order of its start. A list instead of a Map: few are under way at once, answers come
 * about in order, and V8 links every table that a Map outgrew to the next one, so that a Map that lives long carries what it
 * has forgotten into the old generation, and every pause for garbage grows from a fraction of a millisecond to several.
 */
export class InFlight<E extends { readonly id: number }> {
  readonly #entries: E[] = [];

  get size(): number {
    return this.#entries.length;
  }

  add(entry: E): void {
    this.#entries.push(entry);
  }

  get(id: number): E | undefined {
    const at = this.#indexOf(id);
    return at < 0 ? undefined : this.#entries[at];
  }

  /** Takes it out. */
  take(id: number): E | undefined {
    const at = this.#indexOf(id);
    return at < 0 ? undefined : this.#entries.splice(at, 1)[0];
  }

  takeAll(): E[] {
    return this.#entries.splice(0);
  }

  /** As of now: what is added or taken meanwhile changes nothing. */
  all(): E[] {
    return [...this.#entries];
  }

  #indexOf(id: number): number {
    for (let at = 0; at < this.#entries.length; at++) if (this.#entries[at].id === id) return at;
    return -1;
  }
}
