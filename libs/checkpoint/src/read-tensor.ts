import { assert } from '@ultramem/invariant';
import {
  emptyShuffle,
  type Range,
  rangeLength,
  SCALE_BLOCK,
  SCALE_BYTES,
  type ShuffleIndex,
  ShuffleReader,
  scaleCount,
} from '@ultramem/ultramem';
import { type FloatDType, toFloat32 } from './dtype.ts';
import { invalidCheckpoint } from './invalid-checkpoint.ts';
import { DTYPE_BYTES, type DType, rowByteCount, type TensorSource } from './tensor-source.ts';

/** A read's size: large enough for a disk's full speed, small enough to hold several. */
const PIECE_BYTES = 8 * 1024 * 1024;
/** A shuffle's: checked the faster the longer its pieces are, and the event loop waits 20 ms for each. */
const SHUFFLE_PIECE_BYTES = 16 * 1024 * 1024;
/** Reading through a gap up to here costs less than another read. */
const GAP_BYTES_MAX = 16 * 1024;

/** Told the bytes read since the last call. */
export type ReadProgress = (byteCount: number) => void;

/** The whole of a float tensor as f32. */
export async function readFloats(source: TensorSource, onProgress?: ReadProgress): Promise<Float32Array> {
  const dtype = floatDType(source);
  const floats = new Float32Array(elementCount(source));
  const elementBytes = DTYPE_BYTES[dtype];
  let at = 0;
  for await (const bytes of pieces(source, 0, floats.length * elementBytes, onProgress)) {
    floats.set(toFloat32(dtype, bytes), at);
    at += bytes.byteLength / elementBytes;
  }
  return floats;
}

/**
 * The whole of a `shuffle_index` tensor of `length` entries, each piece checked while the next one is read.
 *
 * @throws OperatingError CHECKPOINT_INVALID naming the first entry that keeps it from being a permutation.
 */
export async function readShuffle(source: TensorSource, length: number): Promise<ShuffleIndex> {
  assert(source.dtype === 'I64', `${source.name} holds integers`);
  assert(elementCount(source) === length, `the shape of ${source.name} was checked with the header`);
  const reader = new ShuffleReader(source.name, emptyShuffle(length));
  const byteCount = length * DTYPE_BYTES.I64;
  for await (const bytes of pieces(source, 0, byteCount, undefined, SHUFFLE_PIECE_BYTES))
    reader.take(new BigInt64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / DTYPE_BYTES.I64));
  return reader.finish();
}

/**
 * Rows and columns of a tensor `[rows, width]` as raw bytes of its dtype, row-major and without gaps:
 * `[rangeLength(rows), rangeLength(columns)]`, for INT8_BLOCK64 each row with the scales that its columns need. Reads what is needed
 * and gaps that are cheaper to read than to skip.
 */
export async function readRectangle(
  source: TensorSource,
  rows: Range,
  columns: Range,
  onProgress?: ReadProgress,
): Promise<Uint8Array> {
  const [rowCount, width] = source.shape as [number, number];
  assert(source.shape.length === 2, `${source.name} has rows and columns`);
  assertInside(rows, rowCount, `rows of ${source.name}`);
  assertInside(columns, width, `columns of ${source.name}`);
  const rowBytes = rowByteCount(source.dtype, { start: 0, end: width });
  const keptBytes = rowByteCount(source.dtype, columns);
  const into = new Uint8Array(rangeLength(rows) * keptBytes);
  let at = 0;
  if (keptBytes === rowBytes) {
    for await (const bytes of pieces(source, rows.start * rowBytes, into.byteLength, onProgress)) {
      into.set(bytes, at);
      at += bytes.byteLength;
    }
    return into;
  }
  if (into.byteLength === 0) return into;
  const kept = keptSpans(source.dtype, width, columns);
  const spanStart = kept[0].start;
  const spanBytes = kept[kept.length - 1].end - spanStart;
  const gapIsCheap = rowBytes - keptBytes < GAP_BYTES_MAX;
  const rowsPerRead = gapIsCheap ? Math.max(1, Math.floor(PIECE_BYTES / rowBytes)) : 1;
  for (let row = rows.start; row < rows.end; row += rowsPerRead) {
    const count = Math.min(rowsPerRead, rows.end - row);
    const span = (count - 1) * rowBytes + spanBytes;
    const bytes = await source.read(row * rowBytes + spanStart, span);
    for (let i = 0; i < count; i++)
      for (const { start, end } of kept) {
        const from = i * rowBytes + start - spanStart;
        into.set(bytes.subarray(from, from + end - start), at);
        at += end - start;
      }
    onProgress?.(span);
  }
  return into;
}

/** Where in a stored row the bytes of columns lie. */
function keptSpans(dtype: DType, width: number, columns: Range): Range[] {
  if (dtype !== 'INT8_BLOCK64') {
    const elementBytes = DTYPE_BYTES[dtype];
    return [{ start: columns.start * elementBytes, end: columns.end * elementBytes }];
  }
  const scaleStart = width + Math.floor(columns.start / SCALE_BLOCK) * SCALE_BYTES;
  return [columns, { start: scaleStart, end: scaleStart + scaleCount(columns) * SCALE_BYTES }];
}

/**
 * Key rows `range` of every head and side of `keys [heads, 2, keyCount, width(, rank)]` as f32
 * `[heads, 2, rangeLength(range), width(, rank)]`.
 *
 * @throws OperatingError CHECKPOINT_INVALID for a key that is not finite: its scores would have no order.
 */
export async function readKeyRows(
  source: TensorSource,
  range: Range,
  onProgress?: ReadProgress,
): Promise<Float32Array> {
  const dtype = floatDType(source);
  const [heads, sides, keyCount, ...rest] = source.shape as [number, number, number, ...number[]];
  assert(source.shape.length >= 4, `${source.name} has heads, sides, keys and features`);
  assertInside(range, keyCount, `keys of ${source.name}`);
  const rowLength = rest.reduce((product, size) => product * size, 1);
  const rowBytes = rowLength * DTYPE_BYTES[dtype];
  const floats = new Float32Array(heads * sides * rangeLength(range) * rowLength);
  let at = 0;
  for (let list = 0; list < heads * sides; list++) {
    const listStart = at;
    const first = (list * keyCount + range.start) * rowBytes;
    for await (const bytes of pieces(source, first, rangeLength(range) * rowBytes, onProgress)) {
      const values = toFloat32(dtype, bytes);
      const bad = firstNotFinite(values);
      if (bad >= 0) {
        const row = range.start + Math.floor((at - listStart + bad) / rowLength);
        const axis = `head ${Math.floor(list / sides)}, ${list % sides === 0 ? 'row' : 'column'} side`;
        throw invalidCheckpoint(
          `tensor ${source.name}, ${axis}, key ${row} holds ${values[bad]}`,
          'finite keys',
        );
      }
      floats.set(values, at);
      at += values.length;
    }
  }
  return floats;
}

/** Or -1. A loop, because tens of millions of calls take longer than reading the keys. */
function firstNotFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}

/** A stretch of a tensor in order; the piece after the one that is being used is read meanwhile. */
async function* pieces(
  source: TensorSource,
  first: number,
  byteCount: number,
  onProgress: ReadProgress | undefined,
  pieceBytes = PIECE_BYTES,
): AsyncGenerator<Uint8Array> {
  const readFrom = (done: number) => source.read(first + done, Math.min(pieceBytes, byteCount - done));
  let ahead = byteCount > 0 ? readFrom(0) : null;
  for (let done = 0; ahead !== null; done += pieceBytes) {
    const bytes = await ahead;
    ahead = done + pieceBytes < byteCount ? readFrom(done + pieceBytes) : null;
    ahead?.catch(() => {}); // it fails where it is awaited, if the pieces are still wanted then
    yield bytes;
    onProgress?.(bytes.byteLength);
  }
}

function floatDType(source: TensorSource): FloatDType {
  assert(source.dtype !== 'I64' && source.dtype !== 'INT8_BLOCK64', `${source.name} holds floats`);
  return source.dtype;
}

function elementCount(source: TensorSource): number {
  return source.shape.reduce((product, size) => product * size, 1);
}

function assertInside({ start, end }: Range, count: number, what: string): void {
  assert(start >= 0 && start <= end && end <= count, `${start} to ${end} lies inside the ${count} ${what}`);
}
