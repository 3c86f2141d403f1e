/** A file or anything like it, read by position. */
export interface ByteSource {
  /** For messages to people: the file with its directory. */
  readonly name: string;
  readonly byteCount: number;
  /** Of the file, for native code that maps it; null where there is none. */
  readonly path: string | null;
  /**
   * Bytes `offset .. offset + byteCount - 1`. The array starts 8-byte aligned and belongs to the caller.
   *
   * @throws OperatingError CHECKPOINT_READ_FAILED when the file got shorter or cannot be read.
   */
  read(offset: number, byteCount: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Where a checkpoint's files lie: a directory, a bucket, memory. Null stands for a file that is not there. */
export interface CheckpointDirectory {
  readonly name: string;
  /** The whole of a UTF-8 file. */
  readText(file: string): Promise<string | null>;
  open(file: string): Promise<ByteSource | null>;
}
