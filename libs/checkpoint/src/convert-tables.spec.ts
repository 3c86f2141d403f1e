import { describe, expect, it } from 'vitest';
import { convertedConfig, convertTables } from './convert-tables.ts';
import { floatSource } from './int8-rows.ts';
import { memoryDirectory } from './memory-directory.ts';
import { type Checkpoint, openCheckpoint } from './open-checkpoint.ts';
import { readFloats } from './read-tensor.ts';
import { syntheticCheckpoint, V1_MODEL, V2_MODEL } from './synthetic.ts';

async function fileOf(checkpoint: Checkpoint): Promise<Uint8Array> {
  const conversion = convertTables(checkpoint);
  const pieces: Uint8Array[] = [];
  await conversion.write({ write: async (bytes) => void pieces.push(bytes.slice()) });
  const file = Uint8Array.from(Buffer.concat(pieces));
  expect(file.length).toBe(conversion.byteCount);
  return file;
}

const open = (config: string, file: Uint8Array) =>
  openCheckpoint(
    memoryDirectory(
      'converted',
      new Map<string, string | Uint8Array>([
        ['config.json', config],
        ['model.safetensors', file],
      ]),
    ),
    { parts: 'all' },
  );

describe('convertTables', () => {
  it.each([V1_MODEL, V2_MODEL])('changes the tables and nothing else', async (model) => {
    const before = await syntheticCheckpoint(model, { seed: 1, dtype: 'BF16' });
    const after = await open(convertedConfig(JSON.stringify(model)), await fileOf(before));
    expect(after.fingerprint).not.toBe(before.fingerprint);
    expect(after.unexpected).toEqual([]);
    expect([...after.tensors.keys()].sort()).toEqual([...before.tensors.keys()].sort());
    for (const [name, source] of before.tensors) {
      const converted = after.tensor(name);
      expect(converted.shape).toEqual(source.shape);
      if (!name.endsWith('values_for_look_up')) {
        expect(converted.dtype).toBe(source.dtype);
        if (source.dtype === 'I64') continue;
        expect(await readFloats(converted as never)).toEqual(await readFloats(source));
        continue;
      }
      expect(converted.dtype).toBe('INT8_BLOCK64');
      const values = await readFloats(source);
      const got = await readFloats(floatSource(converted));
      const largest = Math.max(...values.map(Math.abs));
      values.forEach((value, i) => {
        expect(Math.abs(got[i] - value)).toBeLessThanOrEqual(largest / 127);
      });
    }
  });

  it('refuses models without tables of floats', async () => {
    const none = await syntheticCheckpoint(
      { ...V1_MODEL, mem_insert_way: 'no_mem' },
      { seed: 1, dtype: 'BF16' },
    );
    expect(() => convertTables(none)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    const before = await syntheticCheckpoint(V1_MODEL, { seed: 1, dtype: 'F32' });
    const after = await open(convertedConfig(JSON.stringify(V1_MODEL)), await fileOf(before));
    expect(() => convertTables(after)).toThrow('value tables of int8 already');
  });

  it('names a value that is not finite', async () => {
    const before = await syntheticCheckpoint(V1_MODEL, { seed: 1, dtype: 'F32' });
    const tensors = new Map(
      [...before.tensors].map(([name, source]) => [
        name,
        name.endsWith('values_for_look_up')
          ? {
              ...source,
              read: async (_: number, count: number) =>
                new Uint8Array(new Float32Array(count / 4).fill(Number.NaN).buffer),
            }
          : source,
      ]),
    );
    await expect(fileOf({ ...before, tensors })).rejects.toMatchObject({
      code: 'CHECKPOINT_INVALID',
      message: expect.stringContaining('row 0, column 0 holds NaN'),
    });
  });
});

it('openCheckpoint holds int8 tables to their bytes', async () => {
  const before = await syntheticCheckpoint(V1_MODEL, { seed: 1, dtype: 'F32' });
  const file = await fileOf(before);
  const config = { ...V1_MODEL, value_dtype: 'int8_block64' };
  await expect(open(JSON.stringify(V1_MODEL), file)).rejects.toMatchObject({
    code: 'CHECKPOINT_INVALID',
    message: expect.stringMatching(/values_for_look_up is U8; expected F32 or F16 or BF16/),
  });
  await expect(open(JSON.stringify({ ...config, mem_vdim: 16 }), file)).rejects.toMatchObject({
    code: 'CHECKPOINT_INVALID',
  });
  await expect(open(JSON.stringify({ ...config, value_dtype: 'int4' }), file)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
  });
  await expect(syntheticCheckpoint(config, { seed: 1, dtype: 'F32' })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
  });
});
