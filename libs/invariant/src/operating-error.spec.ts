import { expect, it } from 'vitest';
import { OperatingError } from './operating-error.ts';

it('carries code and message, and is final unless it says otherwise', () => {
  const error = new OperatingError('NOT_READY', 'a; b; c');
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({
    name: 'OperatingError',
    code: 'NOT_READY',
    message: 'a; b; c',
    retriable: false,
  });
  expect(new OperatingError('NOT_READY', 'a; b; c', { retriable: true }).retriable).toBe(true);
});

it('keeps its cause, and has none where there was none', () => {
  const cause = new Error('disk');
  expect(new OperatingError('DISK_FULL', 'a; b; c', { cause }).cause).toBe(cause);
  expect('cause' in new OperatingError('DISK_FULL', 'a; b; c')).toBe(false);
});
