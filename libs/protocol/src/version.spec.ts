import { describe, expect, it } from 'vitest';
import { codedError } from './coded-error.ts';
import { ERROR_CODES } from './error-codes.ts';
import { negotiate, PROTOCOL_MAX, unknownVersion } from './version.ts';

describe('negotiate', () => {
  it('takes the newest version of both', () => {
    expect(negotiate(1, 1)).toBe(1);
    expect(negotiate(1, 99)).toBe(PROTOCOL_MAX);
  });

  it.each([
    [2, 9],
    [0, 0],
  ])('refuses %i to %i', (min, max) => {
    expect(() => negotiate(min, max)).toThrow(
      `the peer speaks protocol ${min} to ${max}; expected a version of 1 to 1; run the same release on both sides`,
    );
    expect(() => negotiate(min, max)).toThrow(
      expect.objectContaining({ code: 'PROTOCOL_VERSION', retriable: false }),
    );
  });
});

describe('error codes', () => {
  it('are unique, in capitals, and explained in one sentence', () => {
    expect(new Set(ERROR_CODES.map(({ code }) => code)).size).toBe(ERROR_CODES.length);
    for (const { code, meaning } of ERROR_CODES) {
      expect(code).toMatch(/^[A-Z][A-Z_]+$/);
      expect(meaning).toMatch(/^[A-Z].*\.$/);
    }
  });

  it('say whether their errors are retriable', () => {
    for (const { code, retriable } of ERROR_CODES)
      expect(codedError(code, 'a; b; c')).toMatchObject({ code, retriable });
    const cause = new Error('why');
    expect(codedError('INTERNAL', 'a; b; c', cause).cause).toBe(cause);
  });
});

it.each([0, 2, 7])('cannot speak version %d', (protocol) => {
  expect(unknownVersion(protocol)).toMatchObject({
    code: 'PROTOCOL_VERSION',
    message: `the coordinator speaks protocol ${protocol}; expected a version of 1 to 1; run the same release on both sides`,
  });
  expect(unknownVersion(1)).toBeNull();
});
