import type { TensorSource } from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import { type ActivationDType, activationsFor, assertProduct, dot, type Matrix } from '@ultramem/kernels';
import { rangeLength } from '@ultramem/ultramem';
import { dispatchProduct, productPipelines } from './batched-product.ts';
import { type DeviceTable, loadTable } from './device-table.ts';
import type { Gpu } from './gpu.ts';
import { doubtBelow, isDoubtful, spanOf } from './span.ts';

/** Inputs or results of one command list. */
const JOB_BYTES_MAX = 64 * 2 ** 20;

/** A dense weight on the device, in its stored width. */
export class WebgpuMatrix implements Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly activations: ActivationDType;
  readonly table: DeviceTable;

  constructor(table: DeviceTable, activations: ActivationDType) {
    this.rows = table.rowCount;
    this.columns = table.width;
    this.activations = activations;
    this.table = table;
  }

  get residentBytes(): number {
    return this.table.residentBytes;
  }

  release(): void {
    this.table.release();
  }
}

export async function loadMatrix(
  gpu: Gpu,
  partBytes: number,
  source: TensorSource,
  activations: ActivationDType = 'F32',
): Promise<WebgpuMatrix> {
  assert(source.shape.length === 2, 'a matrix has two axes');
  const [rows, columns] = source.shape;
  const rectangle = { rows: { start: 0, end: rows }, columns: { start: 0, end: columns } };
  return new WebgpuMatrix(await loadTable(gpu, source, rectangle, { by: 'rows', partBytes }), activations);
}

/**
 * `x weightᵀ + bias` in f32, `[rowCount, rows]`; the bias is added on the host. Results that denormals or an overflow may have spoilt
 * are computed on the host from rows read back.
 */
export async function matmul(
  gpu: Gpu,
  handle: Matrix,
  given: Float32Array,
  rowCount: number,
  bias: Float32Array | null,
): Promise<Float32Array> {
  assert(handle instanceof WebgpuMatrix, 'a matrix is used by the backend that loaded it');
  const { table, rows, columns } = handle;
  table.assertHeld();
  assertProduct(handle, given, rowCount, bias);
  const result = new Float32Array(rowCount * rows);
  if (rowCount === 0) return result;
  const rowsMax = Math.max(1, Math.floor(JOB_BYTES_MAX / 4 / Math.max(rows, columns)));
  if (rowCount > rowsMax) {
    for (let first = 0; first < rowCount; first += rowsMax) {
      const end = Math.min(rowCount, first + rowsMax);
      const some = given.subarray(first * columns, end * columns);
      result.set(await matmul(gpu, handle, some, end - first, bias), first * rows);
    }
    return result;
  }
  const x = activationsFor(handle, given);
  const pipelines = await productPipelines(gpu, table.dtype);
  await gpu.job(async (job) => {
    const input = job.upload(x);
    const vectorOfList = job.upload(Uint32Array.of(0));
    const outputs = table.parts.map((part) => {
      const partRows = rangeLength(part.rows);
      const output = job.scratch(rowCount * partRows * 4);
      dispatchProduct(job, pipelines, {
        weight: part,
        ...{ lists: 1, rows: partRows, columns, x: input, xRows: rowCount, vectorsPerRow: 1 },
        vectorOfList,
        result: output,
      });
      return output;
    });
    (await job.read(outputs)).forEach((bytes, p) => {
      const { start, end } = table.parts[p].rows;
      const floats = new Float32Array(bytes);
      for (let i = 0; i < rowCount; i++)
        result.set(floats.subarray(i * (end - start), (i + 1) * (end - start)), i * rows + start);
    });
  });
  await recomputeDoubtful(table, x, rowCount, result);
  if (bias !== null) for (let i = 0; i < result.length; i++) result[i] += bias[i % rows];
  return result;
}

async function recomputeDoubtful(
  table: DeviceTable,
  x: Float32Array,
  rowCount: number,
  result: Float32Array,
): Promise<void> {
  const { rowCount: rows, width: columns, span } = table;
  const doubtful = new Map<number, number[]>(); // rows of x by weight row
  for (let i = 0; i < rowCount; i++) {
    const doubt = doubtBelow(span, spanOf(x.subarray(i * columns, (i + 1) * columns)), columns);
    if (doubt === 0) continue;
    for (let row = 0; row < rows; row++) {
      if (!isDoubtful(result[i * rows + row], doubt)) continue;
      const xRows = doubtful.get(row) ?? [];
      doubtful.set(row, xRows);
      xRows.push(i);
    }
  }
  const weightRows = [...doubtful.keys()];
  const perRead = Math.max(1, Math.floor(2 ** 22 / columns));
  for (let first = 0; first < weightRows.length; first += perRead) {
    const some = weightRows.slice(first, first + perRead);
    const floats = await table.readRows(some);
    some.forEach((row, at) => {
      for (const i of doubtful.get(row) ?? [])
        result[i * rows + row] = dot(floats, at * columns, x, i * columns, columns);
    });
  }
}
