import { describe, expect, it } from 'vitest';
import { bool, f64, list, nullable, oneOf, record, type Schema, text, u32, u64, whole } from './schema.ts';

const range = record({ start: u64, end: u64 });

describe('accepts', () => {
  it.each<[string, Schema<unknown>, unknown[]]>([
    ['u32', u32, [0, 2 ** 32 - 1]],
    ['u64', u64, [0, 2 ** 53 - 1]],
    ['whole', whole(-1, 1), [-1, 0, 1]],
    ['f64', f64, [0, -1.5, 1e300]],
    ['bool', bool, [true, false]],
    ['text', text(3), ['', 'abc']],
    ['nullable', nullable(u32), [null, 5]],
    ['oneOf', oneOf('a', 'b'), ['a', 'b']],
    ['list', list(u32, 2), [[], [1, 2]]],
    [
      'record',
      range,
      [
        { start: 0, end: 1 },
        { end: 1, start: 0 },
      ],
    ],
  ])('%s', (_name, schema, values) => {
    expect(values.map((value) => schema.check(value))).toEqual(values.map(() => null));
  });
});

describe('says what was wrong and what was expected', () => {
  it.each<[Schema<unknown>, unknown, string]>([
    [u32, -1, ' is -1; expected a whole number of 0 to 4294967295'],
    [u32, 2 ** 32, ' is 4294967296; expected a whole number of 0 to 4294967295'],
    [u32, 1.5, ' is 1.5; expected a whole number of 0 to 4294967295'],
    [u32, '7', ' is "7"; expected a whole number of 0 to 4294967295'],
    [u64, 2 ** 53, ' is 9007199254740992; expected a whole number of 0 to 9007199254740991'],
    [u64, 5n, ' is 5; expected a whole number of 0 to 9007199254740991'],
    [f64, Number.NaN, ' is NaN; expected a finite number'],
    [f64, Number.POSITIVE_INFINITY, ' is Infinity; expected a finite number'],
    [bool, 0, ' is 0; expected true or false'],
    [text(3), 'abcd', ' is "abcd"; expected a string of at most 3 characters'],
    [text(3), 'x'.repeat(1000), ` is "${'x'.repeat(40)}..."; expected a string of at most 3 characters`],
    [text(3), null, ' is null; expected a string of at most 3 characters'],
    [nullable(u32), undefined, ' is undefined; expected a whole number of 0 to 4294967295'],
    [oneOf('a', 'b'), 'c', ' is "c"; expected "a" or "b"'],
    [list(u32, 2), [1, 2, 3], ' is a list of 3; expected a list of at most 2 entries'],
    [list(u32, 2), { length: 1 }, ' is a map; expected a list of at most 2 entries'],
    [list(u32, 2), [1, 'x'], '[1] is "x"; expected a whole number of 0 to 4294967295'],
    [range, 5, ' is 5; expected a map with the keys start, end'],
    [range, [], ' is a list of 0; expected a map with the keys start, end'],
    [range, new Uint8Array(3), ' is 3 bytes; expected a map with the keys start, end'],
    [range, { start: 0 }, '.end is missing; expected a map with the keys start, end'],
    [
      range,
      { start: 0, end: 1, step: 1 },
      ' has the unknown key "step"; expected a map with the keys start, end',
    ],
    [record({ toString: u32 }), {}, '.toString is missing; expected a map with the keys toString'],
    [
      list(record({ range }), 9),
      [{ range: { start: 0, end: -1 } }],
      '[0].range.end is -1; expected a whole number of 0 to 9007199254740991',
    ],
  ])('%#', (schema, value, reason) => {
    expect(schema.check(value)).toBe(reason);
  });
});
