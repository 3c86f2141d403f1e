import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { convert, convertText } from './convert.ts';

const MODEL = fileURLToPath(new URL('../../demo-model', import.meta.url));

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ultramem-'));
});
afterEach(() => rm(directory, { recursive: true }));

it('writes a model of about half the table bytes, and tells its error and its loss', async () => {
  const out = join(directory, 'int8');
  const facts = await convert(MODEL, out, 'First Citizen: before we proceed any further, hear me speak.');
  expect((await readdir(out)).sort()).toEqual(['config.json', 'model.safetensors']);
  expect(facts.tableBytes).toEqual({ before: 2 * 16384 * 128, after: 2 * 16384 * 66 });
  expect(facts.errors).toHaveLength(2);
  for (const { relativeError } of facts.errors) {
    expect(relativeError).toBeGreaterThan(1e-3);
    expect(relativeError).toBeLessThan(1e-2);
  }
  expect(facts.loss?.tokenCount).toBe(59);
  expect(Math.abs((facts.loss?.after ?? 0) - (facts.loss?.before ?? 9))).toBeLessThan(0.01);
  expect(convertText(facts)).toMatch(
    /^wrote .*: value tables 4 MiB to 2.1 MiB, .*\npooled vectors of .* differ by 0\.\d\d % .*\n.*\nloss on 59 tokens: /,
  );
  await expect(convert(out, join(directory, 'again'), null)).rejects.toMatchObject({ code: 'USAGE' });
  await expect(convert(MODEL, out, null)).rejects.toMatchObject({ code: 'TARGET_EXISTS' });
  expect(await readdir(directory)).toEqual(['int8']);
});
