import { describe, expect, it } from 'vitest';
import { parseKeysMode } from './keys-mode.ts';
import { formatPartition, parsePartition } from './partition.ts';

describe('parsePartition', () => {
  it('reads the four forms and formatPartition writes them back', () => {
    expect(parsePartition('grid:2x3')).toEqual({ kind: 'grid', rowParts: 2, columnParts: 3 });
    for (const text of ['slots', 'columns', 'grid:2x3', 'grid:10x1', 'auto'])
      expect(formatPartition(parsePartition(text))).toBe(text);
  });

  it.each([
    '',
    'rows',
    'Slots',
    'grid',
    'grid:',
    'grid:0x2',
    'grid:2x0',
    'grid:2',
    'grid:2x2x2',
    'grid:-1x2',
    'grid:1.5x2',
    ' slots',
  ])('refuses %j', (text) => {
    expect(() => parsePartition(text)).toThrow(
      expect.objectContaining({
        code: 'USAGE',
        message: `the partition is ${JSON.stringify(text)}; expected slots, columns, grid:ROWSxCOLUMNS (such as grid:2x2) or auto; correct it`,
      }),
    );
  });
});

describe('parseKeysMode', () => {
  it('reads the three names and refuses others', () => {
    expect(['auto', 'coordinator', 'workers'].map(parseKeysMode)).toEqual(['auto', 'coordinator', 'workers']);
    expect(() => parseKeysMode('both')).toThrow(
      expect.objectContaining({
        code: 'USAGE',
        message: 'the keys mode is "both"; expected auto, coordinator, workers; correct it',
      }),
    );
  });
});
