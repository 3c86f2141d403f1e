import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ByteSink, openCheckpoint, synthByteCount, synthCheckpoint } from '@ultramem/checkpoint';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileDirectory } from './file-directory.ts';
import { fileSink } from './file-sink.ts';
import { writeCheckpoint } from './write-checkpoint.ts';

const CONFIG = {
  d_model: 32,
  n_heads: 2,
  n_layers: 1,
  rope: true,
  vocab_size: 50,
  embedding_size: 50,
  mem_knum: 20,
  mem_kdim: 8,
  mem_vdim: 8,
  mem_pre_vdim: 0,
};

const HUGE = 2 * 1024 * 1024;

let parent: string;
let target: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'ultramem-'));
  target = join(parent, 'model');
});
afterEach(() => rm(parent, { recursive: true }));

describe('writeCheckpoint', () => {
  it('writes a synthetic checkpoint that opens, and tells how far it is', async () => {
    const modelBytes = synthByteCount(CONFIG, 'BF16');
    const progress: [number, number][] = [];
    await writeCheckpoint(
      target,
      {
        configText: JSON.stringify(CONFIG),
        modelBytes,
        writeModel: (sink) => synthCheckpoint(CONFIG, { seed: 5, dtype: 'BF16' }, sink),
      },
      (written, total) => progress.push([written, total]),
    );
    const checkpoint = await openCheckpoint(fileDirectory(target), { parts: 'all' });
    expect(checkpoint.unexpected).toEqual([]);
    await checkpoint.close();
    expect((await stat(join(target, 'model.safetensors'))).size).toBe(modelBytes);
    expect(progress.at(-1)).toEqual([modelBytes, modelBytes]);
    expect(progress.length).toBeGreaterThan(10);
    expect(await readdir(parent)).toEqual(['model']);
  });

  it('makes missing parents and takes an empty directory', async () => {
    const deep = join(parent, 'a', 'b');
    await writeCheckpoint(deep, bytes(3));
    expect(await readFile(join(deep, 'model.safetensors'))).toHaveLength(3);
    await mkdir(target);
    await writeCheckpoint(target, bytes(3));
    expect((await readdir(target)).sort()).toEqual(['config.json', 'model.safetensors']);
  });

  it('refuses a target that holds something, and leaves it alone', async () => {
    await mkdir(target);
    await writeFile(join(target, 'precious'), '1');
    await expect(writeCheckpoint(target, bytes(3))).rejects.toMatchObject({
      code: 'TARGET_EXISTS',
      message: `${target} already holds precious; expected a new or an empty directory; choose another path or remove it`,
    });
    await expect(writeCheckpoint(join(target, 'precious'), bytes(3))).rejects.toMatchObject({
      code: 'TARGET_EXISTS',
      message: expect.stringMatching(/precious is a file; expected/),
    });
    expect(await readdir(target)).toEqual(['precious']);
    expect(await readdir(parent)).toEqual(['model']);
  });

  it('refuses a target that came into being meanwhile', async () => {
    const writeModel = async (sink: ByteSink): Promise<void> => {
      await sink.write(new Uint8Array(3));
      await mkdir(target);
      await writeFile(join(target, 'precious'), '1');
    };
    await expect(writeCheckpoint(target, { ...bytes(3), writeModel })).rejects.toMatchObject({
      code: 'TARGET_EXISTS',
    });
    expect(await readdir(parent)).toEqual(['model']);
  });

  it('refuses before the start what cannot fit', async () => {
    const started = { ...bytes(2 ** 50), writeModel: () => Promise.reject(new Error('was started')) };
    await expect(writeCheckpoint(target, started)).rejects.toMatchObject({
      code: 'DISK_FULL',
      message: expect.stringMatching(
        /model needs 1125899906842624 more bytes, but its disk has \d+ free; expected room/,
      ),
    });
    expect(await readdir(parent)).toEqual([]);
  });

  it('leaves nothing behind when the model cannot be made', async () => {
    const writeModel = async (sink: ByteSink): Promise<void> => {
      await sink.write(new Uint8Array(2));
      throw new Error('no more');
    };
    await expect(writeCheckpoint(target, { ...bytes(3), writeModel })).rejects.toThrow('no more');
    await expect(writeCheckpoint(target, { ...bytes(3), modelBytes: 4 })).rejects.toThrow(
      'as many bytes as was said',
    );
    expect(await readdir(parent)).toEqual([]);
  });

  it('reports what the system says', async () => {
    await expect(writeCheckpoint(join(parent, 'x'.repeat(5000)), bytes(3))).rejects.toMatchObject({
      code: 'CHECKPOINT_WRITE_FAILED',
      message: expect.stringMatching(
        /cannot be written \(ENAMETOOLONG\); expected a path on a writable disk; /,
      ),
    });
  });
});

describe('fileSink', () => {
  it('writes whole huge pages and then the end, whatever the pieces are', async () => {
    const lengths = [1, 5, HUGE - 7, 3, 3 * HUGE + 11, HUGE - 13, HUGE, 2, 0, 40];
    const all = Uint8Array.from(
      { length: lengths.reduce((sum, length) => sum + length, 0) },
      (_, i) => i * 7,
    );
    const handle = await open(target, 'wx');
    const file = { name: 'model', totalBytes: all.length, writtenBytes: 0, freeBytes: async () => 0 };
    const told: number[] = [];
    const sink = fileSink(handle, file, (written) => told.push(written));
    let done = 0;
    for (const length of lengths) {
      await sink.write(all.slice(done, done + length));
      done += length;
      expect(told.at(-1)).toBe(done);
      expect((await handle.stat()).size).toBe(done === all.length ? done : done - (done % HUGE));
      expect(file.writtenBytes).toBe((await handle.stat()).size);
    }
    await handle.close();
    expect(Buffer.compare(await readFile(target), all)).toBe(0);
  });
});

// The one device that is always full.
describe.skipIf(!existsSync('/dev/full'))('a disk that fills up in the middle', () => {
  it('is reported with the bytes that are needed and free', async () => {
    const handle = await open('/dev/full', 'w');
    const file = { name: 'model', totalBytes: 100, writtenBytes: 0, freeBytes: async () => 12 };
    const sink = fileSink(handle, { ...file, writtenBytes: 30 });
    await expect(sink.write(new Uint8Array(70))).rejects.toMatchObject({
      code: 'DISK_FULL',
      message:
        'model needs 70 more bytes, but its disk has 12 free; expected room for the whole checkpoint; free some space or choose another disk',
    });
    await handle.close();
  });
});

function bytes(count: number) {
  return {
    configText: '{}',
    modelBytes: count,
    writeModel: (sink: ByteSink) => sink.write(new Uint8Array(3)),
  };
}
