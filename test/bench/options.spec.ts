import { describe, expect, it } from 'vitest';
import { type BenchOptions, parseOptions } from './options.ts';

const KNOWN = ['select', 'pool'];

function parse(...args: string[]): BenchOptions {
  const options = parseOptions(args, KNOWN);
  if (options === 'help') throw new Error('help was not asked for');
  return options;
}

describe('parseOptions', () => {
  it('takes all cases and the sizes of the published comparison by itself', () => {
    const options = parse();
    expect(options.names).toEqual(KNOWN);
    expect(options.shape).toEqual({ n: 808, k: 80, heads: 2, width: 192, dim: 384 });
    expect(options).toMatchObject({
      format: 'table',
      quick: false,
      peers: true,
      backend: 'auto',
      batches: null,
    });
  });

  it('takes names in their order, and other sizes', () => {
    const options = parse(
      'pool',
      'select',
      '--n',
      '100',
      '--k',
      '7',
      '--heads',
      '1',
      '--batch',
      '1,32',
      '--dtype',
      'bf16',
      '--json',
    );
    expect(options.names).toEqual(['pool', 'select']);
    expect(options.shape).toEqual({ n: 100, k: 7, heads: 1, width: 192, dim: 384 });
    expect(options).toMatchObject({ format: 'json', batches: [1, 32], dtypes: ['BF16'] });
  });

  it('makes a quick run small, but for what is said', () => {
    const options = parse('--quick', '--n', '500', '--seconds', '0.5');
    expect(options).toMatchObject({ rounds: 2, seconds: 0.5, workers: 2 });
    expect(options.shape).toMatchObject({ n: 500, dim: 64 });
  });

  it('gives help', () => expect(parseOptions(['--help', 'nonsense'], KNOWN)).toBe('help'));

  it.each([
    [['gather'], /no case "gather"; expected any of select, pool; see: npm run bench -- --help/],
    [['--fast'], /'--fast'; expected what --help lists/],
    [['--n'], /'--n.*'.*; expected what --help lists/],
    [['--n', 'many'], /--n is "many"; expected a whole number of 1 to 32768/],
    [['--n', '0'], /--n is "0"; expected/],
    [['--heads', '3'], /--heads is "3"; expected a whole number of 1 to 2/],
    [['--batch', '1,,2'], /--batch is ""; expected/],
    [['--dtype', 'f16'], /--dtype is "f16"; expected f32, bf16/],
    [['--n', '8', '--k', '17'], /--k is 17; expected at most 16/],
    [['--dim', '7'], /--dim is 7; expected an even number/],
    [['--seconds', '-1'], /--seconds.*; expected/],
    [['--json', '--markdown'], /both given; expected one of them/],
    [['--backend', 'abacus'], /--backend is "abacus"; expected/],
  ])('refuses %j', (args, message) => {
    expect(() => parse(...args)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(message) }),
    );
  });
});
