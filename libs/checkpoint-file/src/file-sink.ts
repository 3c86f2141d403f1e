import type { FileHandle } from 'node:fs/promises';
import type { ByteSink } from '@ultramem/checkpoint';
import { type WriteTarget, writing } from './writing.ts';

/** Tells how far a long write is. */
export type WriteProgress = (writtenBytes: number, totalBytes: number) => void;

/** Appends to an open file and keeps `target.writtenBytes`. @throws OperatingError from `write`, as `writing` does. */
export function fileSink(handle: FileHandle, target: WriteTarget, onProgress?: WriteProgress): ByteSink {
  return {
    write: async (bytes) => {
      await writing(target, async () => {
        for (let done = 0; done < bytes.byteLength; )
          done += (await handle.write(bytes, done, bytes.byteLength - done)).bytesWritten;
      });
      target.writtenBytes += bytes.byteLength;
      onProgress?.(target.writtenBytes, target.totalBytes);
    },
  };
}
