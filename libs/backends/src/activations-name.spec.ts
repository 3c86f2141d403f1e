import { expect, it } from 'vitest';
import { parseActivations } from './activations-name.ts';

it('reads the dtype of activations', () => {
  expect(parseActivations('f32')).toBe('F32');
  expect(parseActivations('bf16')).toBe('BF16');
});

it.each(['BF16', 'int8', '', 'toString'])('refuses %j', (text) => {
  expect(() => parseActivations(text)).toThrow(
    `--activations is ${JSON.stringify(text)}; expected f32 or bf16; correct it, or leave it out`,
  );
});
