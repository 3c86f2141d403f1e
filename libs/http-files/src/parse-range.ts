/** Bytes `start .. end - 1` of a file, as everywhere in this project. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * What a Range header asks of a file of `byteCount` bytes (RFC 9110, 14.2): null for the whole, also when the unit is not
 * bytes; a range cut to the file; or `unsatisfiable`. A list of ranges and a malformed one count as unsatisfiable too: to
 * answer with the whole, as a server may, could be gigabytes that nobody wanted.
 */
export function parseRange(
  header: string | undefined,
  byteCount: number,
): ByteRange | null | 'unsatisfiable' {
  const [, unit, ranges = ''] = /^\s*([^=\s]+)\s*=(.*)$/.exec(header ?? '') ?? [];
  if (header === undefined || (unit !== undefined && unit.toLowerCase() !== 'bytes')) return null;
  const [, first = '', last = ''] = /^\s*(\d*)-(\d*)\s*$/.exec(ranges) ?? [];
  if (first === '' && last === '') return 'unsatisfiable';
  if (first === '') {
    const suffix = Math.min(Number(last), byteCount);
    return suffix === 0 ? 'unsatisfiable' : { start: byteCount - suffix, end: byteCount };
  }
  const start = Number(first);
  const end = last === '' ? byteCount : Math.min(Number(last) + 1, byteCount);
  return start < end ? { start, end } : 'unsatisfiable';
}
