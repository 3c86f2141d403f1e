import { int8RowBytes, type Range, rangeLength } from '@ultramem/ultramem';

/** Element types this runtime reads. `INT8_BLOCK64`: rows of int8 with scales, see `int8-rows.ts`. */
export type DType = 'F32' | 'F16' | 'BF16' | 'I64' | 'INT8_BLOCK64';

/** Types whose elements have a size of their own. */
export const DTYPE_BYTES: Record<Exclude<DType, 'INT8_BLOCK64'>, number> = {
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
};

/** Bytes of columns of one row, without gaps; block-scaled int8 with the scales that the columns need. */
export function rowByteCount(dtype: DType, columns: Range): number {
  return dtype === 'INT8_BLOCK64' ? int8RowBytes(columns) : rangeLength(columns) * DTYPE_BYTES[dtype];
}

/** Bytes of a whole tensor as it is stored. */
export function tensorByteCount({ dtype, shape }: Pick<TensorSource, 'dtype' | 'shape'>): number {
  if (dtype !== 'INT8_BLOCK64') return shape.reduce((product, size) => product * size, DTYPE_BYTES[dtype]);
  const [rows, width] = shape as [number, number];
  return rows * rowByteCount(dtype, { start: 0, end: width });
}

/** Where bytes lie in a file that the whole machine can open, so that native code can map them. */
export interface FilePlace {
  readonly path: string;
  readonly offset: number;
}

/** One tensor of a checkpoint, read by byte range; nothing is held. Row-major, little-endian. */
export interface TensorSource {
  readonly name: string;
  readonly dtype: DType;
  /** Of the numbers, also where rows hold scales besides. */
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
