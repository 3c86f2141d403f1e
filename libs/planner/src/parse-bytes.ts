import { OperatingError } from '@ultramem/invariant';

const UNITS = new Map<string, number>([
  ['', 1],
  ['B', 1],
  ...['K', 'M', 'G', 'T'].flatMap((prefix, i): [string, number][] => [
    [`${prefix}B`, 1000 ** (i + 1)],
    [`${prefix}IB`, 1024 ** (i + 1)],
  ]),
]);

/**
 * A number of bytes with an optional unit, in any case: `8GiB` (powers of 1024), `512MB` (powers of 1000), `1048576`.
 * Fractions of a byte are dropped.
 *
 * @throws OperatingError USAGE for anything else, for less than one byte and for 2^53 bytes or more.
 */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(text);
  const unit = match ? UNITS.get(match[2].toUpperCase()) : undefined;
  const bytes = match && unit ? Math.floor(Number(match[1]) * unit) : 0;
  if (bytes < 1 || !Number.isSafeInteger(bytes))
    throw new OperatingError(
      'USAGE',
      `the size is ${JSON.stringify(text)}; expected a positive number of bytes with B, KiB, MiB, GiB, TiB, KB, MB, GB or TB; write for example 8GiB`,
    );
  return bytes;
}
