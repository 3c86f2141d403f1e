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

/** Null when every byte is below `limit`. */
export function notBelow(name: string, bytes: Uint8Array, limit: number, limitText: string): string | null {
  const at = firstNotBelow(bytes, limit);
  return at < 0 ? null : `${name}[${at}] is ${bytes[at]}; expected below ${limitText}, ${limit}`;
}

function firstNotBelow(bytes: Uint8Array, limit: number): number {
  const wordCount = Math.floor(bytes.length / 4);
  const areWords = limit > 0 && limit <= 128 && bytes.byteOffset % 4 === 0;
  if (areWords) {
    // Four at a time, because a batch has tens of thousands and both sides look at them: a byte below 128 reaches its top
    // bit, and no further, when it is not below the limit and 128 - limit is added.
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, wordCount);
    const complement = (128 - limit) * 0x01010101;
    let found = 0;
    for (let i = 0; i < wordCount; i++) {
      const word = words[i];
      found |= ((word & 0x7f7f7f7f) + complement) | word;
    }
    if ((found & 0x80808080) !== 0) return bytes.findIndex((byte) => byte >= limit);
  }
  for (let i = areWords ? wordCount * 4 : 0; i < bytes.length; i++) if (bytes[i] >= limit) return i;
  return -1;
}
