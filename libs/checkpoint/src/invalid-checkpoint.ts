import { OperatingError } from '@ultramem/invariant';

/** CHECKPOINT_INVALID in its three parts: what is wrong with which file; what was expected; what to do. */
export function invalidCheckpoint(
  wrong: string,
  expected: string,
  remedy = 'export or copy the checkpoint again',
  cause?: unknown,
): OperatingError {
  return new OperatingError('CHECKPOINT_INVALID', `${wrong}; expected ${expected}; ${remedy}`, { cause });
}

/** A name out of a file, quoted and cut to a length that a message can bear. */
export function quoteName(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}...` : name);
}
