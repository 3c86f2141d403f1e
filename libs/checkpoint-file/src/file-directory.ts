import type { Stats } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ByteSource, CheckpointDirectory } from '@ultramem/checkpoint';
import { OperatingError } from '@ultramem/invariant';
import { errorCode } from './error-code.ts';
import { fileSource } from './file-source.ts';

/** Text files of a checkpoint are small; a longer one is something else under that name. */
const TEXT_BYTES_MAX = 100_000_000;

/**
 * A checkpoint in a directory of the file system. The directory is looked at with the first read.
 *
 * @throws OperatingError from its methods: CHECKPOINT_NOT_FOUND when `path` is missing or no directory,
 * CHECKPOINT_READ_FAILED when a file cannot be read, CHECKPOINT_INVALID when one is no plain file or too long for text.
 */
export function fileDirectory(path: string): CheckpointDirectory {
  return {
    name: path,
    readText: async (file) => {
      const name = join(path, file);
      const stats = await plainFile(path, name);
      if (stats === null) return null;
      if (stats.size > TEXT_BYTES_MAX)
        throw new OperatingError(
          'CHECKPOINT_INVALID',
          `${name} has ${stats.size} bytes; expected at most ${TEXT_BYTES_MAX}; check that it is the file of that name`,
        );
      return reading(name, () => readFile(name, 'utf8'));
    },
    open: async (file): Promise<ByteSource | null> => {
      const name = join(path, file);
      const stats = await plainFile(path, name);
      if (stats === null) return null;
      const handle = await reading(name, () => open(name, 'r'));
      return fileSource(name, handle, stats.size);
    },
  };
}

/** Null when the directory is there and the file is not. */
async function plainFile(directory: string, name: string): Promise<Stats | null> {
  const ofDirectory = await statOrNull(directory);
  if (ofDirectory === null || !ofDirectory.isDirectory())
    throw new OperatingError(
      'CHECKPOINT_NOT_FOUND',
      `${directory} ${ofDirectory === null ? 'does not exist' : 'is not a directory'}; expected a directory with config.json and model.safetensors; check the path`,
    );
  const ofFile = await statOrNull(name);
  if (ofFile !== null && !ofFile.isFile())
    throw new OperatingError(
      'CHECKPOINT_INVALID',
      `${name} is not a plain file; expected a file of a checkpoint; check the path`,
    );
  return ofFile;
}

function statOrNull(name: string): Promise<Stats | null> {
  return reading(name, () =>
    stat(name).catch((error: unknown) => {
      const code = errorCode(error);
      if (code === 'ENOENT' || code === 'ENOTDIR') return null;
      throw error;
    }),
  );
}

async function reading<T>(name: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw new OperatingError(
      'CHECKPOINT_READ_FAILED',
      `${name} cannot be read (${errorCode(cause)}); expected a readable file; check its permissions and the disk`,
      { cause },
    );
  }
}
