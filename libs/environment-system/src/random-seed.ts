import { randomBytes } from 'node:crypto';

/** A seed of the operating system, for runs that were given none. */
export function randomSeed(): number {
  return randomBytes(4).readUInt32LE();
}

/** Random bytes in hex, for names that must not meet. */
export function randomHex(byteCount: number): string {
  return randomBytes(byteCount).toString('hex');
}
