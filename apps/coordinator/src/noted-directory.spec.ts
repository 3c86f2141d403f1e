import { memoryDirectory } from '@ultramem/checkpoint';
import { expect, it } from 'vitest';
import { notedDirectory } from './noted-directory.ts';

it('notes what was found, and nothing that was not', async () => {
  const files = new Map([
    ['config.json', '{}'],
    ['model.safetensors', 'x'],
    ['secret', 'y'],
  ]);
  const { directory, found } = notedDirectory(memoryDirectory('dir', files));
  expect(directory.name).toBe('dir');
  expect(await directory.readText('config.json')).toBe('{}');
  expect((await directory.open('model.safetensors'))?.byteCount).toBe(1);
  expect(await directory.open('model.safetensors.index.json')).toBeNull();
  expect(await directory.readText('tokenizer.json')).toBeNull();
  expect([...found]).toEqual(['config.json', 'model.safetensors']);
});
