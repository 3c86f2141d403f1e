import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { memoryDirectory, openCheckpoint, readFloats } from '@ultramem/checkpoint';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileDirectory } from './file-directory.ts';

const MODEL = fileURLToPath(new URL('../../../test/vectors/model_v2', import.meta.url));

let path: string;
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'ultramem-'));
});
afterEach(() => rm(path, { recursive: true }));

describe('fileDirectory', () => {
  it('opens a checkpoint as memory does', async () => {
    const files = ['config.json', 'model.safetensors'].map(
      async (file) => [file, await readFile(join(MODEL, file))] as const,
    );
    const inMemory = await openCheckpoint(memoryDirectory('memory', new Map(await Promise.all(files))), {
      parts: 'all',
    });
    const onDisk = await openCheckpoint(fileDirectory(MODEL), { parts: 'all' });
    expect(onDisk.fingerprint).toBe(inMemory.fingerprint);
    const name = 'transformer.full_memory_layer.values_for_look_up';
    expect(await readFloats(onDisk.tensor(name))).toEqual(await readFloats(inMemory.tensor(name)));
    await onDisk.close();
  });

  it('gives 8-byte aligned bytes of its own', async () => {
    await writeFile(join(path, 'f'), Buffer.from('0123456789'));
    const source = (await fileDirectory(path).open('f'))!;
    expect(source.byteCount).toBe(10);
    const bytes = await source.read(3, 4);
    expect([Buffer.from(bytes).toString(), bytes.byteOffset]).toEqual(['3456', 0]);
    expect(bytes.buffer.byteLength).toBe(4);
    await source.close();
  });

  it('tells a missing file from a missing directory', async () => {
    expect(await fileDirectory(path).readText('config.json')).toBeNull();
    expect(await fileDirectory(path).open('model.safetensors')).toBeNull();
    const missing = join(path, 'missing');
    await expect(openCheckpoint(fileDirectory(missing), { parts: 'all' })).rejects.toMatchObject({
      code: 'CHECKPOINT_NOT_FOUND',
      message: `${missing} does not exist; expected a directory with config.json and model.safetensors; check the path`,
    });
  });

  it('refuses a file where a directory should be, and a directory where a file should be', async () => {
    await writeFile(join(path, 'f'), '');
    for (const file of [join(path, 'f'), join(path, 'f', 'deeper')])
      await expect(fileDirectory(file).readText('config.json')).rejects.toMatchObject({
        code: 'CHECKPOINT_NOT_FOUND',
      });
    await expect(fileDirectory(join(path, 'f')).readText('config.json')).rejects.toThrow(
      /f is not a directory; expected/,
    );
    await mkdir(join(path, 'model.safetensors'));
    await expect(fileDirectory(path).open('model.safetensors')).rejects.toMatchObject({
      code: 'CHECKPOINT_INVALID',
      message: expect.stringMatching(/model.safetensors is not a plain file; expected/),
    });
  });

  it('refuses text that is too long to be what it should be', async () => {
    await writeFile(join(path, 'config.json'), '');
    await truncate(join(path, 'config.json'), 100_000_001);
    await expect(fileDirectory(path).readText('config.json')).rejects.toMatchObject({
      code: 'CHECKPOINT_INVALID',
      message: expect.stringMatching(/config.json has 100000001 bytes; expected at most 100000000; /),
    });
  });

  it('notices a file that gets shorter', async () => {
    await writeFile(join(path, 'f'), Buffer.alloc(100));
    const source = (await fileDirectory(path).open('f'))!;
    await truncate(join(path, 'f'), 50);
    expect(await source.read(0, 50)).toHaveLength(50);
    await expect(source.read(40, 20)).rejects.toMatchObject({
      code: 'CHECKPOINT_READ_FAILED',
      message: expect.stringMatching(/f got shorter while being read; expected 100 bytes/),
    });
    await source.close();
  });

  it('reports what the system says', async () => {
    const tooLong = 'x'.repeat(5000);
    await expect(fileDirectory(path).readText(tooLong)).rejects.toMatchObject({
      code: 'CHECKPOINT_READ_FAILED',
      message: expect.stringMatching(/cannot be read \(ENAMETOOLONG\); expected a readable file; /),
    });
  });

  it('reports a read that the system refuses', async () => {
    await writeFile(join(path, 'f'), Buffer.alloc(100));
    const source = (await fileDirectory(path).open('f'))!;
    await source.close();
    await expect(source.read(7, 3)).rejects.toMatchObject({
      code: 'CHECKPOINT_READ_FAILED',
      message: expect.stringMatching(/f cannot be read at byte 7 \(EBADF\); expected a readable file; /),
    });
  });
});
