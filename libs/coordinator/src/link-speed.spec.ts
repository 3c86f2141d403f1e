import { describe, expect, it } from 'vitest';
import { encodingFor, isLoopback, parseSlowLinks, timeLink } from './link-speed.ts';

it.each([
  ['127.0.0.1:5000', true],
  ['127.8.0.1', true],
  ['::ffff:127.0.0.1:41000', true],
  ['::1:5000', true],
  ['[::1]:5000', true],
  ['localhost:7420', true],
  ['10.0.0.7:5000', false],
  ['::ffff:10.0.0.7:5000', false],
  ['fe80::1:5000', false],
  ['127.0.0.1.example:80', false],
])('%s is loopback: %s', (peerName, expected) => {
  expect(isLoopback(peerName)).toBe(expected);
});

describe('timing a link', () => {
  const MIB = 2 ** 20;
  /** What a link of `bytesPerMs` takes, and what was asked of it; `oddMs` of some echoes take another time. */
  function link(bytesPerMs: number, oddMs: (number | null)[] = []) {
    const asked: number[] = [];
    const echo = async (bytes: number): Promise<number | null> => {
      const odd = oddMs[asked.length];
      asked.push(bytes);
      return odd === undefined ? 2 + bytes / bytesPerMs : odd;
    };
    return { asked, echo };
  }

  const [SMALL, LARGE] = [Array(5).fill(2 ** 16), Array(5).fill(MIB)];

  it('takes the round trip off', async () => {
    const { asked, echo } = link(1e5);
    expect(await timeLink(echo, 2)).toBeCloseTo(1e8, 0);
    expect(asked).toEqual([...SMALL, ...LARGE]);
  });

  it('takes neither a busy moment nor a burst for the link', async () => {
    expect(await timeLink(link(1e5, [900]).echo, 2)).toBeCloseTo(1e8, 0);
    expect(await timeLink(link(1e5, [3, 3, 3, 3, 3, 90, 3]).echo, 2)).toBeCloseTo(1e8, 0);
    expect(await timeLink(link(1e5, [3, 3, 3, 3, 3, 900]).echo, 2)).toBeCloseTo(1e8, 0);
  });

  it.each([
    [5e3, [...SMALL, MIB, MIB, MIB]],
    [20, [2 ** 16, 2 ** 16, 2 ** 16]],
  ])('does not fill a link of %i bytes a millisecond', async (bytesPerMs, expected) => {
    const { asked, echo } = link(bytesPerMs);
    expect(await timeLink(echo, 2)).toBeCloseTo(bytesPerMs * 1e3, 0);
    expect(asked).toEqual(expected);
  });

  it('says nothing of what is too fast, or does not answer', async () => {
    expect(await timeLink(async () => 2, 2)).toBeNull();
    expect(await timeLink(async () => null, 2)).toBeNull();
    expect(await timeLink(link(1e5, [3, 3, 3, 3, 3, 12, null]).echo, 2)).toBeNull();
  });
});

it('reads the flag', () => {
  expect(parseSlowLinks('int8').encoding).toBe('int8');
  expect(() => parseSlowLinks('f16')).toThrow(
    'the encoding for slow links is "f16"; expected f32, bf16, int8; correct --slow-links',
  );
});

it('rounds on slow links only', () => {
  const slow = { encoding: 'bf16', bytesPerSecond: 5e8 } as const;
  expect(encodingFor(1.2e8, slow)).toBe('bf16');
  expect(encodingFor(5e8, slow)).toBe('f32');
  expect(encodingFor(null, slow)).toBe('f32');
  expect(encodingFor(1.2e8, { ...slow, encoding: 'f32' })).toBe('f32');
});
