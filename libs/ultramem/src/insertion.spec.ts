import { describe, expect, it } from 'vitest';
import { parseInsertions, writesByBlock } from './insertion.ts';

const parse = (memInsertWay: string, nLayers = 6) => parseInsertions({ memInsertWay, nLayers });

describe('parseInsertions', () => {
  it('knows full, no_mem and pairs', () => {
    expect(parse('full', 2)).toEqual([
      { readBlock: 0, writeBlock: 0 },
      { readBlock: 1, writeBlock: 1 },
    ]);
    expect(parse('no_mem')).toEqual([]);
    expect(parse('1:3/4:5')).toEqual([
      { readBlock: 1, writeBlock: 3 },
      { readBlock: 4, writeBlock: 5 },
    ]);
  });

  it.each(['', '1', '1:2/', 'a:b', '1:2:3', '-1:2'])('refuses %j', (text) => {
    expect(() => parse(text)).toThrow('expected "full", "no_mem" or "r:w');
  });

  it('refuses a block outside the model and a block read twice', () => {
    expect(() => parse('6:7')).toThrow('reads block 6, but n_layers is 6');
    expect(() => parse('1:2/1:3')).toThrow('reads block 1 twice');
  });
});

describe('writesByBlock', () => {
  it.each([
    ['1:3/4:5', [null, null, null, 0, null, 1]],
    ['1:1/2:2', [null, 0, 1, null, null, null]],
    // The single pending slot of the reference: a read replaces what still waits.
    ['1:3/3:5', [null, null, null, null, null, 1]],
    ['0:2/1:3', [null, null, null, 1, null, null]],
    ['0:3/1:2', [null, null, 1, null, null, null]],
    ['3:1', [null, null, null, null, null, null]],
    ['4:9', [null, null, null, null, null, null]],
    ['4:5/1:3', [null, null, null, 1, null, 0]],
  ])('%s', (text, expected) => {
    expect(writesByBlock(parse(text), 6)).toEqual(expected);
  });
});
