import { synthByteCount } from '@ultramem/checkpoint';
import { memoryGeometry, parseModelConfig } from '@ultramem/ultramem';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findOddities } from './inspect-oddities.ts';
import { configOfFlags, configOfJson, withSlots } from './synth-config.ts';

const rowsOf = (config: Record<string, unknown>): number =>
  memoryGeometry(parseModelConfig(config))?.tableRows ?? 0;

describe('flags to a configuration', () => {
  it.each(['v1', 'v2', 'memory-plus'])('%s has the least table with so many slots', (family) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 4, max: 1_000_000_000 }),
        fc.integer({ min: 1, max: 9 }),
        (slots, blocks) => {
          const config = configOfFlags({ family, slots: `${slots}`, blocks: `${blocks}` });
          expect(rowsOf(config)).toBeGreaterThanOrEqual(slots);
          const smaller = { ...config, mem_knum: Number(config.mem_knum) - 1, mem_knn: 1 };
          if (smaller.mem_knum > 0) expect(rowsOf(smaller)).toBeLessThan(slots);
        },
      ),
    );
  });

  it.each(['v1', 'v2', 'memory-plus'])('%s loses no memory layer, for any number of blocks', (family) => {
    for (let blocks = 1; blocks <= 12; blocks++) {
      const settings = configOfFlags({ family, blocks: `${blocks}` });
      const config = parseModelConfig(settings);
      const geometry = memoryGeometry(config);
      const v1 = { rank: 2, coreCount: 2, valueExpand: 4 };
      const texts = findOddities({ config, settings, geometry, v1, unexpected: [], tuckerVectors: [] }).map(
        ({ text }) => text,
      );
      expect(texts.filter((text) => text.includes('is lost'))).toEqual([]);
      expect(synthByteCount(settings, 'BF16')).toBeGreaterThan(0);
    }
  });

  it('takes every flag', () => {
    const flags = {
      dModel: '96',
      blocks: '4',
      insert: '1:2',
      heads: '1',
      topK: '5',
      keyWidth: '24',
      valueWidth: '48',
    };
    expect(configOfFlags({ family: 'v1', slots: '2.5K', ...flags })).toMatchObject({
      ...{
        d_model: 96,
        n_layers: 4,
        mem_insert_way: '1:2',
        mem_head: 1,
        mem_knn: 5,
        mem_kdim: 24,
        mem_vdim: 48,
      },
      ...{ mem_knum: 50, vocab_size: 256, mem_type: 'ultramem_v1' },
    });
  });

  it.each<[Parameters<typeof configOfFlags>[0], string]>([
    [{ family: 'v3' }, '--family is "v3"; expected v1, v2, memory-plus; correct it'],
    [{ dModel: '33' }, '--d-model is 33; expected an even number; correct it'],
    [{ dModel: 'wide' }, '--d-model is "wide"; expected a whole number'],
    [{ slots: '1X' }, '--slots is "1X"; expected a number of 1 to 4294967295'],
    [{ slots: '5G' }, '--slots is "5G"; expected a number of 1 to 4294967295'],
    [{ slots: '0' }, '--slots is "0"; expected'],
  ])('%j is wrong usage', (flags, message) => {
    expect(() => configOfFlags(flags)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(message) }),
    );
  });
});

describe('a configuration like another', () => {
  it('keeps its shape, and has bytes as tokens', () => {
    const like = configOfJson({ mem_insert_way: '1:2', vocab_size: 50280 }, undefined);
    expect(like).toEqual({ mem_insert_way: '1:2', vocab_size: 256, embedding_size: 50304 });
    expect(configOfJson({ vocab_size: 100, embedding_size: null }, undefined)).toEqual({
      vocab_size: 100,
      embedding_size: 100,
    });
  });

  it('takes another number of slots', () => {
    const settings = { n_layers: 4, mem_type: 'ultramem_v2', mem_insert_way: 'full' };
    expect(withSlots(settings, '1M')).toEqual({ ...settings, mem_knum: 500 });
    expect(configOfJson(settings, '1000001')).toMatchObject({ mem_knum: 501 });
  });

  it('refuses what is no configuration', () => {
    expect(() => configOfJson([], undefined)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });
});
