/// <reference types="@webgpu/types" />
import {
  DTYPE_BYTES,
  type FloatDType,
  floatSource,
  readRectangle,
  type TensorSource,
  toFloat32,
} from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import { type Range, rangeLength } from '@ultramem/ultramem';
import { deviceLost, type Gpu, type Job, memoryExhausted, type Region } from './gpu.ts';
import { EMPTY_SPAN, type Span, spanOf } from './span.ts';

/** A rectangle of the table in one buffer: rows of `rowWords` 32-bit words. Ranges count within the table. */
export interface TablePart {
  region: Region;
  rows: Range;
  columns: Range;
  rowWords: number;
}

/** Rows that are read from the source and sent to the device at once. */
const LOAD_BYTES = 32 * 2 ** 20;
/** Rows that are read back from the device at once. */
const READ_BACK_BYTES = 16 * 2 ** 20;

/**
 * A rectangle of a tensor on the device, in its stored width. What one binding cannot hold is split: matrices by rows, because their
 * results are rows; value tables by columns, because sums over a token's entries then run through one buffer in their order.
 */
export class DeviceTable {
  readonly dtype: FloatDType;
  readonly rowCount: number;
  readonly width: number;
  readonly parts: TablePart[];
  /** Of all elements. */
  span: Span = EMPTY_SPAN;
  readonly #gpu: Gpu;
  #isReleased = false;

  constructor(gpu: Gpu, dtype: FloatDType, rowCount: number, width: number, parts: TablePart[]) {
    this.#gpu = gpu;
    this.dtype = dtype;
    this.rowCount = rowCount;
    this.width = width;
    this.parts = parts;
  }

  get residentBytes(): number {
    return this.#isReleased ? 0 : this.parts.reduce((sum, { region }) => sum + region.size, 0);
  }

  assertHeld(): void {
    assert(!this.#isReleased, 'a handle is not used after its release');
  }

  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    for (const { region } of this.parts) this.#gpu.buffers.destroy(region.buffer);
  }

  /** Rows widened to f32, `[rows, width]`, with the bits that were loaded: copies flush nothing. */
  async readRows(rows: ArrayLike<number>): Promise<Float32Array> {
    const result = new Float32Array(rows.length * this.width);
    const rowBytes =
      this.parts.reduce((sum, { rowWords }) => Math.max(sum, 4 * rowWords), 4) * this.parts.length;
    const perRead = Math.max(1, Math.floor(READ_BACK_BYTES / rowBytes));
    for (let first = 0; first < rows.length; first += perRead) {
      const some = Array.from({ length: Math.min(perRead, rows.length - first) }, (_, i) => rows[first + i]);
      for (const part of this.parts) await this.#readPart(part, some, result.subarray(first * this.width));
    }
    return result;
  }

  async #readPart(
    { region, rows, columns, rowWords }: TablePart,
    wanted: number[],
    into: Float32Array,
  ): Promise<void> {
    const held = wanted.flatMap((row, at) => (row >= rows.start && row < rows.end ? [{ row, at }] : []));
    if (held.length === 0) return;
    const rowBytes = 4 * rowWords;
    const [bytes] = await this.#gpu.job(async (job: Job) => {
      const staging = job.staging(held.length * rowBytes);
      held.forEach(({ row }, i) => {
        job.copy(region.buffer, (row - rows.start) * rowBytes, staging, i * rowBytes, rowBytes);
      });
      return job.finish([staging], [held.length * rowBytes]);
    });
    const keptBytes = rangeLength(columns) * DTYPE_BYTES[this.dtype];
    held.forEach(({ at }, i) => {
      const row = toFloat32(this.dtype, new Uint8Array(bytes, i * rowBytes, keptBytes));
      into.set(row, at * this.width + columns.start);
    });
  }
}

/** @throws OperatingError DEVICE_MEMORY_EXHAUSTED, and what the source throws */
export async function loadTable(
  gpu: Gpu,
  source: TensorSource,
  rectangle: { rows: Range; columns: Range },
  split: { by: 'rows' | 'columns'; partBytes: number },
): Promise<DeviceTable> {
  const floats = floatSource(source); // block-scaled int8 is widened on its way
  const { dtype } = floats;
  const { rows, columns } = rectangle;
  const [rowCount, width] = [rangeLength(rows), rangeLength(columns)];
  const parts = await createParts(gpu, cuts(rowCount, width, DTYPE_BYTES[dtype], split), DTYPE_BYTES[dtype]);
  const table = new DeviceTable(gpu, dtype, rowCount, width, parts);
  const rowBytes = Math.max(1, width * DTYPE_BYTES[dtype]);
  const perLoad = Math.max(1, Math.floor(LOAD_BYTES / rowBytes));
  try {
    for (let start = 0; start < rowCount; start += perLoad) {
      const end = Math.min(rowCount, start + perLoad);
      const bytes = await readRectangle(
        floats,
        { start: rows.start + start, end: rows.start + end },
        columns,
      );
      table.span = spanOf(toFloat32(dtype, bytes), table.span);
      for (const part of parts) sendRows(gpu, part, bytes, { start, end }, width, DTYPE_BYTES[dtype]);
    }
  } catch (error) {
    table.release();
    throw error;
  }
  return table;
}

/** The rectangles of the parts. */
function cuts(
  rowCount: number,
  width: number,
  elementBytes: number,
  { by, partBytes }: { by: 'rows' | 'columns'; partBytes: number },
): { rows: Range; columns: Range }[] {
  if (rowCount === 0 || width === 0) return [];
  const perWord = 4 / elementBytes;
  const rowWords = Math.ceil(width / perWord);
  const perPart =
    by === 'rows' ? Math.floor(partBytes / 4 / rowWords) : Math.floor(partBytes / 4 / rowCount) * perWord;
  assert(perPart > 0, `one of the ${by} of a table fits a buffer of the device`);
  const count = by === 'rows' ? rowCount : width;
  const whole = { rows: { start: 0, end: rowCount }, columns: { start: 0, end: width } };
  return Array.from({ length: Math.ceil(count / perPart) }, (_, i) => ({
    ...whole,
    [by]: { start: i * perPart, end: Math.min(count, (i + 1) * perPart) },
  }));
}

async function createParts(
  gpu: Gpu,
  rectangles: { rows: Range; columns: Range }[],
  elementBytes: number,
): Promise<TablePart[]> {
  gpu.device.pushErrorScope('out-of-memory');
  const parts = rectangles.map(({ rows, columns }) => {
    const rowWords = Math.ceil((rangeLength(columns) * elementBytes) / 4);
    const size = rangeLength(rows) * rowWords * 4;
    return { region: { buffer: gpu.buffers.create(size), offset: 0, size }, rows, columns, rowWords };
  });
  const failure = await gpu.device.popErrorScope().catch((error: unknown) => {
    throw deviceLost(error);
  });
  if (failure === null) return parts;
  for (const { region } of parts) gpu.buffers.destroy(region.buffer);
  throw memoryExhausted(failure.message);
}

/** Writes the part's share of whole rows `loaded` of the table. */
function sendRows(
  gpu: Gpu,
  { region, rows, columns, rowWords }: TablePart,
  bytes: Uint8Array,
  loaded: Range,
  width: number,
  elementBytes: number,
): void {
  const start = Math.max(rows.start, loaded.start);
  const end = Math.min(rows.end, loaded.end);
  if (start >= end) return;
  const [rowBytes, keptBytes] = [width * elementBytes, rangeLength(columns) * elementBytes];
  let packed = bytes.subarray((start - loaded.start) * rowBytes, (end - loaded.start) * rowBytes);
  if (rowBytes !== 4 * rowWords) {
    const whole = packed;
    packed = new Uint8Array((end - start) * rowWords * 4);
    for (let row = 0; row < end - start; row++) {
      const from = row * rowBytes + columns.start * elementBytes;
      packed.set(whole.subarray(from, from + keptBytes), row * rowWords * 4);
    }
  }
  gpu.device.queue.writeBuffer(
    region.buffer,
    (start - rows.start) * rowWords * 4,
    packed as Uint8Array<ArrayBuffer>,
  );
}
