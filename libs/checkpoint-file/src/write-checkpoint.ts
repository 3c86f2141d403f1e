import { mkdir, mkdtemp, open, readdir, rename, rm, rmdir, statfs, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { ByteSink } from '@ultramem/checkpoint';
import { assert, OperatingError } from '@ultramem/invariant';
import { errorCode } from './error-code.ts';
import { fileSink, type WriteProgress } from './file-sink.ts';
import { diskFull, type WriteTarget, writing } from './writing.ts';

/**
 * Writes a checkpoint directory: `config.json`, `model.safetensors` of `modelBytes` bytes from `writeModel`, and `texts` beside them
 * (a tokenizer). Everything
 * goes to a temporary directory beside `path`, which is renamed when complete and removed when anything fails, so that
 * `path` never holds half a checkpoint.
 *
 * @throws OperatingError TARGET_EXISTS when `path` is a file or a directory with anything in it, DISK_FULL before the
 * start or in the middle, CHECKPOINT_WRITE_FAILED; and whatever `writeModel` throws.
 */
export async function writeCheckpoint(
  path: string,
  checkpoint: {
    configText: string;
    modelBytes: number;
    writeModel: (sink: ByteSink) => Promise<void>;
    texts?: ReadonlyMap<string, string>;
  },
  onProgress?: WriteProgress,
): Promise<void> {
  const { configText, modelBytes, writeModel, texts = new Map() } = checkpoint;
  const place = resolve(path);
  const target: WriteTarget = {
    name: path,
    totalBytes: modelBytes,
    writtenBytes: 0,
    freeBytes: async () => {
      const { bavail, bsize } = await statfs(dirname(place));
      return bavail * bsize;
    },
  };
  await claim(place, target);
  const temporary = await writing(target, async () => {
    await mkdir(dirname(place), { recursive: true });
    return mkdtemp(`${place}.partial-`);
  });
  const complete = join(temporary, 'checkpoint'); // inside, because the temporary directory itself is private
  try {
    if ((await target.freeBytes()) < modelBytes) throw await diskFull(target);
    await writing(target, () => mkdir(complete));
    for (const [file, text] of [['config.json', configText] as const, ...texts])
      await writing(target, () => writeFile(join(complete, file), text));
    const handle = await writing(target, () => open(join(complete, 'model.safetensors'), 'wx'));
    try {
      await writeModel(fileSink(handle, target, onProgress));
      assert(target.writtenBytes === modelBytes, 'the model has as many bytes as was said');
      await writing(target, () => handle.sync());
    } finally {
      await handle.close();
    }
    await claim(place, target);
    await writing(target, () => rename(complete, place));
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Makes sure that nothing is at the place; an empty directory goes, because not every system renames over one. */
async function claim(place: string, target: WriteTarget): Promise<void> {
  const expected = 'expected a new or an empty directory; choose another path or remove it';
  const entries = await writing(target, () =>
    readdir(place).catch((error: unknown) => {
      const code = errorCode(error);
      if (code === 'ENOENT') return null;
      if (code !== 'ENOTDIR') throw error;
      throw new OperatingError('TARGET_EXISTS', `${target.name} is a file; ${expected}`);
    }),
  );
  if (entries === null) return;
  if (entries.length > 0)
    throw new OperatingError('TARGET_EXISTS', `${target.name} already holds ${entries[0]}; ${expected}`);
  await writing(target, () => rmdir(place));
}
