import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createUtf8Decoder, encodeUtf8 } from './utf8.ts';

function decode(bytes: Iterable<number>): string {
  const decoder = createUtf8Decoder();
  let text = '';
  for (const byte of bytes) text += decoder.push(byte);
  return text + decoder.end();
}

describe('utf8', () => {
  it('encodes every string as the platform does, lone surrogates included', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((c) => String.fromCharCode(c)) }),
        (text) => {
          expect(encodeUtf8(text)).toEqual([...new TextEncoder().encode(text)]);
        },
      ),
    );
  });

  it('decodes any bytes as the platform does', () => {
    const interesting = fc.constantFrom(
      0x41,
      0x80,
      0x8f,
      0x90,
      0x9f,
      0xa0,
      0xbf,
      0xc1,
      0xc3,
      0xe0,
      0xe2,
      0xed,
      0xf0,
      0xf4,
      0xf5,
    );
    const bytes = fc.array(fc.oneof(interesting, fc.integer({ min: 0, max: 255 })), { maxLength: 12 });
    fc.assert(
      fc.property(bytes, (given) => {
        expect(decode(given)).toBe(
          new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(given)),
        );
      }),
      { numRuns: 3000 },
    );
  });

  it('gives nothing out in the middle of a character', () => {
    const decoder = createUtf8Decoder();
    expect([0xf0, 0x9f, 0xa6, 0x80].map((byte) => decoder.push(byte))).toEqual(['', '', '', '🦀']);
  });
});
