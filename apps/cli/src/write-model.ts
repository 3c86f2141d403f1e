import { writeCheckpoint } from '@ultramem/checkpoint-file';
import { startProgress } from '@ultramem/command-line';
import { OperatingError } from '@ultramem/invariant';
import { formatBytes } from '@ultramem/planner';

/**
 * Writes a checkpoint with progress; Ctrl-C stops it and leaves nothing behind.
 *
 * @throws OperatingError CANCELLED, and those of `writeCheckpoint`
 */
export async function writeModel(
  path: string,
  checkpoint: Parameters<typeof writeCheckpoint>[1],
): Promise<void> {
  const { modelBytes } = checkpoint;
  const progress = startProgress('writing', modelBytes, formatBytes);
  let stoppedBy: string | null = null;
  const stop = (signal: NodeJS.Signals): void => {
    stoppedBy = signal;
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    await writeCheckpoint(path, checkpoint, (writtenBytes) => {
      progress.update(writtenBytes);
      // Thrown here it goes the way of every failed write, on which the half-written file is removed.
      if (stoppedBy !== null)
        throw new OperatingError(
          'CANCELLED',
          `${path} was not finished (${stoppedBy}); expected to write ${modelBytes} bytes; what was written is removed, run it again`,
        );
    });
  } finally {
    progress.stop();
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}
