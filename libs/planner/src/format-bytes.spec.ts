import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatBytes } from './format-bytes.ts';
import { parseBytes } from './parse-bytes.ts';

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [1024 ** 2 - 1, '1 MiB'],
    [8 * 1024 ** 3, '8 GiB'],
    [123.4 * 1024 ** 2, '123 MiB'],
    [2 ** 60, '1024 PiB'],
  ])('%d is %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it('is within 5 % of the number, and parseBytes reads it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 49 }), (bytes) => {
        const back = parseBytes(formatBytes(bytes));
        expect(Math.abs(back - bytes)).toBeLessThanOrEqual(bytes * 0.05);
      }),
    );
  });
});

describe('parseBytes', () => {
  it.each([
    ['1048576', 1048576],
    ['8GiB', 8589934592],
    ['512MB', 512000000],
    ['1.5 kib', 1536],
    ['1.0009KB', 1000],
    ['7B', 7],
    ['2TiB', 2 * 1024 ** 4],
  ])('%s is %d', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each(['', '0', '-1', 'GiB', '8 G', '8XB', '0.5B', '1e3', '8GiB ', '9007199254740992', '9000TiB'])(
    'refuses %j',
    (text) => {
      expect(() => parseBytes(text)).toThrow(
        expect.objectContaining({
          code: 'USAGE',
          message: `the size is ${JSON.stringify(text)}; expected a positive number of bytes with B, KiB, MiB, GiB, TiB, KB, MB, GB or TB; write for example 8GiB`,
        }),
      );
    },
  );
});
