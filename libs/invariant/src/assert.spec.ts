import { describe, expect, it } from 'vitest';
import { AssertionError, assert, present, unreachable } from './assert.ts';
import { OperatingError } from './operating-error.ts';

const is = (message: string) => expect.objectContaining({ name: 'AssertionError', message });

describe('assert', () => {
  it('lets what is true pass, and narrows', () => {
    const value: string | null = Math.abs(1) === 1 ? 'x' : null;
    assert(value !== null, 'there is a value');
    expect(value.length).toBe(1);
  });

  it('throws a defect, which is no expected failure', () => {
    expect(() => assert(false, 'a shard has one owner')).toThrow(is('a shard has one owner'));
    expect(() => assert(false, 'x')).toThrow(AssertionError);
    expect(new AssertionError('x')).not.toBeInstanceOf(OperatingError);
  });
});

describe('present', () => {
  it.each([0, '', false, Number.NaN])('gives %j itself', (value) => {
    expect(present(value, 'it is there')).toBe(value);
  });

  it.each([null, undefined])('throws for %s, saying why it should be there', (value) => {
    expect(() => present(value, 'a ready worker has a shard')).toThrow(is('a ready worker has a shard'));
  });
});

it('unreachable shows what reached it', () => {
  const impossible = { kind: 'new' } as never;
  expect(() => unreachable(impossible)).toThrow(is('unreachable: {"kind":"new"}'));
});
