const REPLACEMENT = '\uFFFD';

/** UTF-8 bytes of a string; half surrogate pairs become U+FFFD, as in the WHATWG encoder. */
export function encodeUtf8(text: string): number[] {
  const bytes: number[] = [];
  for (const character of text) {
    let code = character.codePointAt(0) ?? 0;
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), continuation(code));
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), continuation(code >> 6), continuation(code));
    else
      bytes.push(0xf0 | (code >> 18), continuation(code >> 12), continuation(code >> 6), continuation(code));
  }
  return bytes;
}

function continuation(bits: number): number {
  return 0x80 | (bits & 0x3f);
}

export interface Utf8Decoder {
  /** The text that this byte makes certain. */
  push(byte: number): string;
  /** U+FFFD for a character that lacks bytes, else nothing. */
  end(): string;
}

/**
 * A decoder that takes one byte at a time. Ill-formed input gives one U+FFFD for each maximal part of a character
 * (Unicode 15, section 3.9, table 3-8), as in the WHATWG decoder.
 */
export function createUtf8Decoder(): Utf8Decoder {
  let code = 0;
  let missing = 0;
  let lowest = 0x80; // bounds of the next continuation byte
  let highest = 0xbf;
  const start = (byte: number): string => {
    if (byte < 0x80) return String.fromCharCode(byte);
    if (byte < 0xc2 || byte > 0xf4) return REPLACEMENT;
    missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    code = byte & (0x3f >> missing);
    // The second byte rules out overlong forms, surrogates and codes beyond U+10FFFF.
    if (byte === 0xe0) lowest = 0xa0;
    if (byte === 0xed) highest = 0x9f;
    if (byte === 0xf0) lowest = 0x90;
    if (byte === 0xf4) highest = 0x8f;
    return '';
  };
  const end = (): string => {
    const text = missing > 0 ? REPLACEMENT : '';
    missing = 0;
    lowest = 0x80;
    highest = 0xbf;
    return text;
  };
  const push = (byte: number): string => {
    if (missing === 0) return start(byte);
    if (byte < lowest || byte > highest) return end() + start(byte);
    code = (code << 6) | (byte & 0x3f);
    lowest = 0x80;
    highest = 0xbf;
    return --missing === 0 ? String.fromCodePoint(code) : '';
  };
  return { push, end };
}
