/** Element types this runtime reads. */
export type DType = 'F32' | 'F16' | 'BF16' | 'I64';

export const DTYPE_BYTES: Record<DType, number> = { F32: 4, F16: 2, BF16: 2, I64: 8 };

/** Where bytes lie in a file that the whole machine can open, so that native code can map them. */
export interface FilePlace {
  readonly path: string;
  readonly offset: number;
}

/** One tensor of a checkpoint, read by byte range; nothing is held. Row-major, little-endian. */
export interface TensorSource {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Null where the bytes are in memory or far away; they are then read. */
  readonly file: FilePlace | null;
  /**
   * Bytes `first .. first + byteCount - 1` of the tensor's data. The array starts 8-byte aligned and belongs to the caller.
   *
   * @throws OperatingError CHECKPOINT_READ_FAILED when the file got shorter or cannot be read.
   */
  read(first: number, byteCount: number): Promise<Uint8Array>;
}
