import { assert } from '@ultramem/invariant';
import type { ByteSource, CheckpointDirectory } from './byte-source.ts';
import { invalidCheckpoint } from './invalid-checkpoint.ts';
import { decodeUtf8, encodeUtf8 } from './utf8.ts';

/** A directory of files held in memory: text or bytes by name. Changes of `files` show up in the next read. */
export function memoryDirectory(
  name: string,
  files: ReadonlyMap<string, string | Uint8Array>,
): CheckpointDirectory {
  return {
    name,
    readText: async (file) => {
      const content = files.get(file);
      if (content === undefined) return null;
      return typeof content === 'string' ? content : decodeText(`${name}/${file}`, content);
    },
    open: async (file) => {
      const content = files.get(file);
      if (content === undefined) return null;
      return memorySource(`${name}/${file}`, typeof content === 'string' ? encodeUtf8(content) : content);
    },
  };
}

function decodeText(name: string, bytes: Uint8Array): string {
  try {
    return decodeUtf8(bytes);
  } catch (cause) {
    throw invalidCheckpoint(`${name} is not UTF-8`, 'text', undefined, cause);
  }
}

function memorySource(name: string, bytes: Uint8Array): ByteSource {
  const byteCount = bytes.byteLength;
  let closed = false;
  return {
    name,
    byteCount,
    path: null,
    read: async (offset, count) => {
      assert(!closed, `${name} is read after it was closed`);
      assert(offset >= 0 && count >= 0 && offset + count <= byteCount, `${name} is read inside its bounds`);
      return bytes.slice(offset, offset + count);
    },
    close: async () => {
      closed = true;
    },
  };
}
