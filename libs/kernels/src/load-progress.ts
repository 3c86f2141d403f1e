/** Progress of loading tables of which some are read and others mapped. */
export interface LoadProgress {
  /** So many bytes were read. */
  read(byteCount: number): void;
  /** A table of so many stored bytes is there; mapped, it is there without a read. */
  held(byteCount: number): void;
}

/** @param onProgress told after each step, never of more than there is */
export function createLoadProgress(
  totalBytes: number,
  onProgress: (doneBytes: number, totalBytes: number) => void,
): LoadProgress {
  let doneBytes = 0;
  let heldBytes = 0;
  return {
    read(byteCount) {
      doneBytes += byteCount;
      onProgress(Math.min(doneBytes, totalBytes), totalBytes);
    },
    held(byteCount) {
      heldBytes += byteCount;
      if (heldBytes <= doneBytes) return;
      doneBytes = heldBytes;
      onProgress(Math.min(doneBytes, totalBytes), totalBytes);
    },
  };
}
