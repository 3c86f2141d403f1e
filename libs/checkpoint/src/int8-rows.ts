import { assert } from '@ultramem/invariant';
import {
  int8RowBytes,
  type Range,
  rangeLength,
  SCALE_BLOCK,
  SCALE_BYTES,
  scaleCount,
} from '@ultramem/ultramem';
import { bf16ToF32, type FloatDType, f32ToBf16, fromFloat32 } from './dtype.ts';
import { readRectangle } from './read-tensor.ts';
import type { TensorSource } from './tensor-source.ts';

// A row of INT8_BLOCK64: `width` int8, then a bf16 scale for each 64 columns, the last block possibly short. A number is its int8
// times its block's scale, in f32. Everything that one lookup needs of a row lies in one piece. A file stores such a table as U8
// [rows, bytes of a row], because safetensors knows no such type.

const LARGEST = 127;
/** Below this a scale times an int8 would be denormal, and no longer exact. */
const SCALE_MIN = 2 ** -126;

/**
 * Rows of f32 `[.., width]` as INT8_BLOCK64. A block's scale is the least bf16 of which 127 reach its largest magnitude, so that no
 * number is cut off and none is further off than half a scale.
 *
 * @returns the bytes, or the place of the first number that is not finite
 */
export function quantizeRows(values: Float32Array, width: number): Uint8Array | { notFinite: number } {
  const columns = { start: 0, end: width };
  const rowBytes = int8RowBytes(columns);
  const rowCount = width === 0 ? 0 : values.length / width;
  assert(Number.isInteger(rowCount), 'the values are whole rows');
  const bytes = new Uint8Array(rowCount * rowBytes);
  const blocks = scaleCount(columns);
  for (let row = 0; row < rowCount; row++)
    for (let block = 0; block < blocks; block++) {
      const from = row * width + block * SCALE_BLOCK;
      const end = Math.min(from + SCALE_BLOCK, (row + 1) * width);
      let largest = 0;
      for (let i = from; i < end; i++) {
        const magnitude = Math.abs(values[i]);
        if (!Number.isFinite(magnitude)) return { notFinite: i };
        if (magnitude > largest) largest = magnitude;
      }
      const bits = scaleBits(largest);
      const scale = bf16ToF32(bits);
      const at = row * rowBytes + block * SCALE_BLOCK;
      if (scale > 0) for (let i = from; i < end; i++) bytes[at + i - from] = Math.round(values[i] / scale);
      const scaleAt = row * rowBytes + width + block * SCALE_BYTES;
      bytes[scaleAt] = bits & 0xff;
      bytes[scaleAt + 1] = bits >>> 8;
    }
  return bytes;
}

function scaleBits(largest: number): number {
  if (largest === 0) return 0;
  const wanted = Math.max(largest / LARGEST, SCALE_MIN);
  const nearest = f32ToBf16(wanted);
  return bf16ToF32(nearest) * LARGEST < largest ? nearest + 1 : nearest;
}

/**
 * Widens rows that hold `columns` of a table without gaps, as `readRectangle` gives them: int8, then the scales of the blocks that the
 * columns touch.
 *
 * @param row counted from the first in `bytes`
 */
export function dequantizeRow(bytes: Uint8Array, row: number, columns: Range, into: Float32Array): void {
  const width = rangeLength(columns);
  const at = row * int8RowBytes(columns);
  const firstBlock = Math.floor(columns.start / SCALE_BLOCK);
  for (let c = 0; c < width; ) {
    const block = Math.floor((columns.start + c) / SCALE_BLOCK);
    const end = Math.min(width, (block + 1) * SCALE_BLOCK - columns.start);
    const scaleAt = at + width + (block - firstBlock) * SCALE_BYTES;
    const scale = bf16ToF32(bytes[scaleAt] | (bytes[scaleAt + 1] << 8));
    for (; c < end; c++) into[c] = scale * ((bytes[at + c] << 24) >> 24);
  }
}

/**
 * The same tensor as floats: itself, or where it is INT8_BLOCK64 an F32 one that widens what it reads, for whoever has no use for
 * int8. It has no place in a file then.
 */
export function floatSource(source: TensorSource): TensorSource & { readonly dtype: FloatDType } {
  const { name, dtype, shape } = source;
  assert(dtype !== 'I64', `${name} holds floats`);
  if (dtype !== 'INT8_BLOCK64') return { ...source, dtype };
  const [rowCount, width] = shape as [number, number];
  const rowBytes = 4 * width;
  const read = async (first: number, byteCount: number): Promise<Uint8Array> => {
    assert(
      first >= 0 && byteCount >= 0 && first + byteCount <= rowCount * rowBytes,
      `${name} is read inside its bounds`,
    );
    if (byteCount === 0) return new Uint8Array(0);
    const rows = { start: Math.floor(first / rowBytes), end: Math.ceil((first + byteCount) / rowBytes) };
    const columns = { start: 0, end: width };
    const bytes = await readRectangle(source, rows, columns);
    const floats = new Float32Array(rangeLength(rows) * width);
    for (let row = 0; row < rangeLength(rows); row++)
      dequantizeRow(bytes, row, columns, floats.subarray(row * width, (row + 1) * width));
    const widened = fromFloat32('F32', floats);
    const skipped = first - rows.start * rowBytes;
    return skipped === 0 && byteCount === widened.length
      ? widened
      : widened.slice(skipped, skipped + byteCount);
  };
  return { name, dtype: 'F32', shape, file: null, read };
}
