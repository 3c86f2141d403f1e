import { expect, it } from 'vitest';
import { encodingFor, isLoopback, linkBytesPerSecond, parseSlowLinks } from './link-speed.ts';

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

it('takes the round trip off the time of the bytes', () => {
  expect(linkBytesPerSecond(1e6, [12], 2)).toBe(1e8);
  expect(linkBytesPerSecond(1e6, [2, 2, 2], 2)).toBeNull();
  expect(linkBytesPerSecond(1e6, [], 2)).toBeNull();
});

it('takes neither the first answer, nor a burst, for the link', () => {
  expect(linkBytesPerSecond(1e6, [40, 3, 12, 12, 13], 2)).toBe(1e8);
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
