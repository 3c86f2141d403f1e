import { OperatingError } from '@ultramem/invariant';
import { errorCode } from './error-code.ts';

/** What is being written, for the messages of failures. */
export interface WriteTarget {
  name: string;
  totalBytes: number;
  writtenBytes: number;
  /** Of the disk that is written to. */
  freeBytes(): Promise<number>;
}

/**
 * Does one step of writing.
 *
 * @throws OperatingError DISK_FULL with the bytes needed and free; CHECKPOINT_WRITE_FAILED for every other system error.
 */
export async function writing<T>(target: WriteTarget, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    const code = errorCode(cause);
    if (code === 'ENOSPC' || code === 'EDQUOT') throw await diskFull(target, cause);
    throw new OperatingError(
      'CHECKPOINT_WRITE_FAILED',
      `${target.name} cannot be written (${code}); expected a path on a writable disk; check its permissions and the disk`,
      { cause },
    );
  }
}

export async function diskFull(target: WriteTarget, cause?: unknown): Promise<OperatingError> {
  const neededBytes = target.totalBytes - target.writtenBytes;
  const freeBytes = await target.freeBytes();
  return new OperatingError(
    'DISK_FULL',
    `${target.name} needs ${neededBytes} more bytes, but its disk has ${freeBytes} free; expected room for the whole checkpoint; free some space or choose another disk`,
    { cause },
  );
}
