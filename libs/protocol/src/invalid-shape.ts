/** Null when `length` is a whole multiple of `unit` (zero only of zero), else the reason; `unitText` says what the unit is. */
export function notMultiple(name: string, length: number, unit: number, unitText: string): string | null {
  if (unit === 0 ? length === 0 : length % unit === 0) return null;
  return `${name} holds ${length} numbers; expected a multiple of ${unitText} = ${unit}`;
}

/** Null when `length` is `expected`. */
export function notLength(
  name: string,
  length: number,
  expected: number,
  expectedText: string,
): string | null {
  return length === expected
    ? null
    : `${name} holds ${length} numbers; expected ${expectedText} = ${expected}`;
}

/** Null when `range` is well formed: half-open, `start <= end`. */
export function notRange(name: string, range: { start: number; end: number }): string | null {
  return range.start <= range.end ? null : `${name} is ${range.start} to ${range.end}; expected start <= end`;
}

/** Null when `entryStart` cuts `entryCount` entries into `tokenCount` runs: starts at 0, never falls, ends at the count. */
export function notEntryStart(
  entryStart: Uint32Array,
  tokenCount: number,
  entryCount: number,
): string | null {
  const reason = notLength('entryStart', entryStart.length, tokenCount + 1, 'tokenCount + 1');
  if (reason !== null) return reason;
  if (entryStart[0] !== 0) return `entryStart begins with ${entryStart[0]}; expected 0`;
  for (let token = 0; token < tokenCount; token++)
    if (entryStart[token] > entryStart[token + 1])
      return `entryStart falls from ${entryStart[token]} to ${entryStart[token + 1]} at token ${token}; expected it to rise`;
  if (entryStart[tokenCount] !== entryCount)
    return `entryStart ends with ${entryStart[tokenCount]}; expected the number of slots, ${entryCount}`;
  return null;
}
