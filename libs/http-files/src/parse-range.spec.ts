import { expect, it } from 'vitest';
import { parseRange } from './parse-range.ts';

it.each([
  [undefined, null],
  ['bytes=0-0', { start: 0, end: 1 }],
  ['bytes=3-6', { start: 3, end: 7 }],
  ['bytes=3-', { start: 3, end: 10 }],
  ['bytes=3-99', { start: 3, end: 10 }],
  ['bytes=-4', { start: 6, end: 10 }],
  ['bytes=-99', { start: 0, end: 10 }],
  ['Bytes = 3-6 ', { start: 3, end: 7 }],
  ['rows=3-6', null],
  ['bytes=10-', 'unsatisfiable'],
  ['bytes=-0', 'unsatisfiable'],
  ['bytes=-', 'unsatisfiable'],
  ['bytes=', 'unsatisfiable'],
  ['bytes=6-3', 'unsatisfiable'],
  ['bytes=0-1,4-5', 'unsatisfiable'],
  ['bytes=0x1-2', 'unsatisfiable'],
  ['bytes=1.5-2', 'unsatisfiable'],
  ['bytes=99999999999999999999-', 'unsatisfiable'],
  ['bytes', 'unsatisfiable'],
])('%j of ten bytes', (header, expected) => {
  expect(parseRange(header, 10)).toEqual(expected);
});

it('nothing of an empty file can be satisfied', () => {
  expect(parseRange('bytes=0-', 0)).toBe('unsatisfiable');
  expect(parseRange('bytes=-1', 0)).toBe('unsatisfiable');
});
