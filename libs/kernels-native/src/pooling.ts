import {
  type DType,
  type FilePlace,
  readRectangle,
  rowByteCount,
  type TensorSource,
} from '@ultramem/checkpoint';
import { assert, OperatingError } from '@ultramem/invariant';
import { assertDots, assertPool, type Kernels, type ValueTable } from '@ultramem/kernels';
import { type Range, rangeLength } from '@ultramem/ultramem';
import type { Addon, Engine, NativeHandle, Pending } from './load-addon.ts';
import { Resident } from './resident.ts';
import { unwritten } from './unwritten.ts';

type TableHandle = NativeHandle<'value table'>;

/** dtype, tableRows, fullWidth, first and end of the rows, of the columns. */
type Shape = [
  dtype: number,
  tableRows: number,
  fullWidth: number,
  rowStart: number,
  rowEnd: number,
  columnStart: number,
  columnEnd: number,
];

/** `native/addon/pooling.cc`. */
export interface PoolingAddon {
  mapValues(path: string, offset: number, memoryBytes: number, ...shape: Shape): TableHandle;
  createValues(...shape: Shape): TableHandle;
  fillValues(table: TableHandle, firstRow: number, bytes: Uint8Array): void;
  releaseValues(table: TableHandle): void;
  valueBytes(table: TableHandle): number;
  poolValues(
    engine: Engine,
    table: TableHandle,
    entryStart: Uint32Array,
    slot: Uint32Array,
    block: Uint8Array,
    blockCount: number,
    weight: Float32Array,
    coreCount: number,
    preTable: TableHandle | null,
    preQuery: Float32Array | null,
    activation: boolean,
    out: Float32Array,
  ): Pending;
  dotValues(
    engine: Engine,
    table: TableHandle,
    entryStart: Uint32Array,
    slot: Uint32Array,
    query: Float32Array,
    out: Float64Array,
  ): Pending;
}

/** As `ValueDtype` of `native/core/value-table.h`. */
const DTYPES: readonly DType[] = ['F32', 'BF16', 'F16', 'INT8_BLOCK64'];
const PIECE_BYTES = 8 * 1024 * 1024;
/** Failures that are expected; their messages are the native ones, which have the same three parts. */
const CODES: ReadonlySet<unknown> = new Set([
  'SLOT_OUT_OF_RANGE',
  'BLOCK_OUT_OF_RANGE',
  'CHECKPOINT_READ_FAILED',
]);

/**
 * A rectangle of a table. Where the table is in a file, it is mapped: ready at once, shared with other processes, and possibly larger
 * than memory. `residentBytes` are then the bytes of the rectangle, the most that can become resident; the system reads pages as
 * they are touched and takes them back when it needs room. Mapped columns stay where the file has them, so memory holds whole pages.
 */
class NativeValues extends Resident<TableHandle> implements ValueTable {
  readonly rows: Range;
  readonly columns: Range;
  readonly fullWidth: number;

  constructor(addon: Addon, handle: TableHandle, shape: { rows: Range; columns: Range; fullWidth: number }) {
    super(handle, addon.valueBytes(handle), addon.releaseValues);
    this.rows = shape.rows;
    this.columns = shape.columns;
    this.fullWidth = shape.fullWidth;
  }
}

/** Gathers in f64 with the bits of the reference kernels, from tables in their stored dtype (SEMANTICS 4.6, 5.5, 5.6). */
export function poolingKernels(addon: Addon, engine: Engine, memoryBytes: number) {
  return {
    loadValues: (source, rows, columns) => loadValues(addon, memoryBytes, source, rows, columns),
    pool: async (values, request) => {
      const table = ownValues(values);
      assertPool(table, request);
      const { tokenCount, entryStart, slot, block, blockCount, weight, coreCount, pre } = request;
      const out = unwritten(Float32Array, tokenCount * blockCount * rangeLength(table.columns));
      await settled(() =>
        addon.poolValues(
          engine,
          table.handle,
          ...([entryStart, slot, block, blockCount, weight, coreCount] as const),
          ...([
            pre === null ? null : ownValues(pre.table).handle,
            pre === null ? null : pre.query,
            pre?.activation ?? false,
          ] as const),
          out,
        ),
      );
      return out;
    },
    dotRows: async (values, request) => {
      const table = ownValues(values);
      assertDots(table, request);
      const { entryStart, slot, query } = request;
      const out = unwritten(Float64Array, slot.length);
      await settled(() => addon.dotValues(engine, table.handle, entryStart, slot, query, out));
      return out;
    },
  } satisfies Partial<Kernels>;
}

async function loadValues(
  addon: Addon,
  memoryBytes: number,
  source: TensorSource,
  rows: Range,
  columns: Range,
): Promise<NativeValues> {
  const { dtype, shape, file } = source;
  assert(shape.length === 2, 'a value table has two axes');
  assert(dtype !== 'I64', 'a value table holds no integers');
  assert(rows.start <= rows.end && rows.end <= shape[0], 'the rows lie inside the table');
  assert(columns.start <= columns.end && columns.end <= shape[1], 'the columns lie inside the table');
  const [tableRows, fullWidth] = shape as [number, number];
  const dtypeNumber = DTYPES.indexOf(dtype);
  const { start, end } = columns;
  const native: Shape = [dtypeNumber, tableRows, fullWidth, rows.start, rows.end, start, end];
  const handle =
    file === null
      ? await readValues(addon, source, native, rows, columns)
      : mapValues(addon, memoryBytes, file, native);
  return new NativeValues(addon, handle, { rows, columns, fullWidth });
}

function mapValues(
  addon: Addon,
  memoryBytes: number,
  { path, offset }: FilePlace,
  shape: Shape,
): TableHandle {
  try {
    return addon.mapValues(path, offset, memoryBytes, ...shape);
  } catch (error) {
    throw expectedFailure(error);
  }
}

async function readValues(
  addon: Addon,
  source: TensorSource,
  shape: Shape,
  rows: Range,
  columns: Range,
): Promise<TableHandle> {
  const handle = addon.createValues(...shape);
  try {
    const rowBytes = rowByteCount(source.dtype, columns);
    const perPiece = Math.max(1, Math.floor(PIECE_BYTES / Math.max(1, rowBytes)));
    for (let start = rows.start; start < rows.end && rowBytes > 0; start += perPiece) {
      const piece = { start, end: Math.min(rows.end, start + perPiece) };
      addon.fillValues(handle, start - rows.start, await readRectangle(source, piece, columns));
    }
    return handle;
  } catch (error) {
    addon.releaseValues(handle);
    throw error;
  }
}

function ownValues(handle: ValueTable): NativeValues {
  assert(handle instanceof NativeValues, 'a value table is used by the backend that loaded it');
  return handle;
}

async function settled(call: () => Pending): Promise<void> {
  try {
    const pending = call();
    if (pending !== undefined) await pending;
  } catch (error) {
    throw expectedFailure(error);
  }
}

function expectedFailure(error: unknown): unknown {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && CODES.has(error.code))
    return new OperatingError(error.code, error.message);
  return error;
}
