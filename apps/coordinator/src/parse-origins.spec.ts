import { expect, it } from 'vitest';
import { parseOrigins } from './parse-origins.ts';

it('takes origins as browsers send them', () => {
  expect(parseOrigins('')).toEqual([]);
  expect(parseOrigins('https://example.org, http://localhost:8080,')).toEqual([
    'https://example.org',
    'http://localhost:8080',
  ]);
});

it.each([
  '*',
  'null',
  'example.org',
  'https://example.org/',
  'https://example.org/page',
  'https://example.org:443',
  'https://Example.org',
  'ws://example.org',
  'https://me@example.org',
])('refuses %s', (text) => {
  expect(() => parseOrigins(`https://fine.example.org,${text}`)).toThrow(
    expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(JSON.stringify(text)) }),
  );
});
