import type { FileHandle } from 'node:fs/promises';
import type { ByteSink } from '@ultramem/checkpoint';
import { type WriteTarget, writing } from './writing.ts';

/** Tells how far a long write is. */
export type WriteProgress = (writtenBytes: number, totalBytes: number) => void;

/** A file system with large folios keeps a table in huge pages where each of them came in one write; random rows then come faster. */
const HUGE_PAGE_BYTES = 2 * 1024 * 1024;

/**
 * Writes `target.totalBytes` to a new file in whole huge pages, the end with the last bytes, and keeps `target.writtenBytes`.
 *
 * @throws OperatingError from `write`, as `writing` does.
 */
export function fileSink(handle: FileHandle, target: WriteTarget, onProgress?: WriteProgress): ByteSink {
  const held = new Uint8Array(HUGE_PAGE_BYTES);
  let heldBytes = 0;
  const put = async (bytes: Uint8Array): Promise<void> => {
    await writing(target, async () => {
      for (let done = 0; done < bytes.byteLength; )
        done += (await handle.write(bytes, done, bytes.byteLength - done)).bytesWritten;
    });
    target.writtenBytes += bytes.byteLength;
  };
  return {
    write: async (bytes) => {
      const isEnd = target.writtenBytes + heldBytes + bytes.byteLength >= target.totalBytes;
      const taken = heldBytes === 0 ? 0 : Math.min(HUGE_PAGE_BYTES - heldBytes, bytes.byteLength);
      const rest = bytes.subarray(taken);
      held.set(bytes.subarray(0, taken), heldBytes);
      heldBytes += taken;
      if (heldBytes === HUGE_PAGE_BYTES || (isEnd && heldBytes > 0)) {
        await put(held.subarray(0, heldBytes));
        heldBytes = 0;
      }
      const whole = isEnd ? rest.byteLength : rest.byteLength - (rest.byteLength % HUGE_PAGE_BYTES);
      if (whole > 0) await put(rest.subarray(0, whole));
      held.set(rest.subarray(whole), heldBytes);
      heldBytes += rest.byteLength - whole;
      onProgress?.(target.writtenBytes + heldBytes, target.totalBytes);
    },
  };
}
