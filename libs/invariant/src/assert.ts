/** Says what must be true. A false condition is a defect of the program, never of its input: it stays on in production. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** The value itself, where it is certain to be there; `what` says why. */
export function present<T>(value: T | null | undefined, what: string): T {
  assert(value !== null && value !== undefined, what);
  return value;
}

/** Marks a branch that no value can reach; the compiler checks it too. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}

/** A defect of this program. Nobody catches it to go on. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}
