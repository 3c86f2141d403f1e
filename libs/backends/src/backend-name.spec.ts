import { expect, it } from 'vitest';
import { parseBackend, parseBackends } from './backend-name.ts';

it('parseBackend takes known names and auto', () => {
  expect(parseBackend('reference')).toBe('reference');
  expect(parseBackend('auto')).toBe('auto');
  expect(() => parseBackend('gpu')).toThrow(expect.objectContaining({ code: 'USAGE' }));
  expect(() => parseBackend('gpu')).toThrow(
    /^--backend is "gpu"; expected auto or native, tensorflow, webgpu, reference; correct it, or ask: ultramem doctor$/,
  );
});

it('parseBackends takes several by commas', () => {
  expect(parseBackends('native,auto,reference')).toEqual(['native', 'auto', 'reference']);
  expect(() => parseBackends('native,,auto')).toThrow('--backend is ""');
});
