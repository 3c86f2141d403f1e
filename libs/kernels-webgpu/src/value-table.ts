import type { TensorSource } from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import type { ValueTable } from '@ultramem/kernels';
import type { Range } from '@ultramem/ultramem';
import { type DeviceTable, loadTable } from './device-table.ts';
import type { Gpu } from './gpu.ts';

/** A rectangle of a value or pre-value table on the device. */
export class WebgpuValues implements ValueTable {
  readonly rows: Range;
  readonly columns: Range;
  readonly fullWidth: number;
  readonly table: DeviceTable;

  constructor(table: DeviceTable, shape: { rows: Range; columns: Range; fullWidth: number }) {
    this.table = table;
    this.rows = shape.rows;
    this.columns = shape.columns;
    this.fullWidth = shape.fullWidth;
  }

  get residentBytes(): number {
    return this.table.residentBytes;
  }

  release(): void {
    this.table.release();
  }
}

export async function loadValues(
  gpu: Gpu,
  partBytes: number,
  source: TensorSource,
  rows: Range,
  columns: Range,
): Promise<WebgpuValues> {
  const { shape } = source;
  assert(shape.length === 2, 'a value table has two axes');
  assert(rows.start <= rows.end && rows.end <= shape[0], 'the rows lie inside the table');
  assert(columns.start <= columns.end && columns.end <= shape[1], 'the columns lie inside the table');
  const table = await loadTable(gpu, source, { rows, columns }, { by: 'columns', partBytes });
  return new WebgpuValues(table, { rows, columns, fullWidth: shape[1] });
}

/** The table behind a handle of this backend. */
export function ownValues(handle: ValueTable): WebgpuValues {
  assert(handle instanceof WebgpuValues, 'a value table is used by the backend that loaded it');
  handle.table.assertHeld();
  return handle;
}
