import type { FileHandle } from 'node:fs/promises';
import type { ByteSource } from '@ultramem/checkpoint';
import { assert, OperatingError } from '@ultramem/invariant';
import { errorCode } from './error-code.ts';

/** The system takes lengths below 2^31. */
const READ_BYTES_MAX = 2 ** 30;

/** Positional reads of an open file of `byteCount` bytes; owns the handle. */
export function fileSource(name: string, handle: FileHandle, byteCount: number): ByteSource {
  return {
    name,
    path: name,
    byteCount,
    read: async (offset, count) => {
      assert(offset >= 0 && count >= 0 && offset + count <= byteCount, `${name} is read inside its bounds`);
      const bytes = new Uint8Array(count);
      for (let done = 0; done < count; ) {
        const length = Math.min(READ_BYTES_MAX, count - done);
        const bytesRead = await readAt(name, handle, { bytes, done, length, position: offset + done });
        if (bytesRead === 0)
          throw new OperatingError(
            'CHECKPOINT_READ_FAILED',
            `${name} got shorter while being read; expected ${byteCount} bytes as when it was opened; copy the checkpoint again and restart`,
          );
        done += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
}

async function readAt(
  name: string,
  handle: FileHandle,
  { bytes, done, length, position }: { bytes: Uint8Array; done: number; length: number; position: number },
): Promise<number> {
  try {
    return (await handle.read(bytes, done, length, position)).bytesRead;
  } catch (cause) {
    throw new OperatingError(
      'CHECKPOINT_READ_FAILED',
      `${name} cannot be read at byte ${position} (${errorCode(cause)}); expected a readable file; check the disk`,
      { cause },
    );
  }
}
