import { activationsFor } from '../activation-dtype.ts';
import { assertProduct } from '../check-dense.ts';
import type { Matrix } from '../kernels.ts';
import { ownMatrix } from './load-matrix.ts';
import { multiplyRows } from './multiply-rows.ts';
import type { Turns } from './turns.ts';

/** Weight rows taken through all rows of x before the next ones, so that they come out of the cache. */
const BLOCK_ROWS = 16;

/** `x weightᵀ + bias`: x `[rowCount, columns]` to `[rowCount, rows]`, bias `[rows]`. */
export async function matmul(
  turns: Turns,
  handle: Matrix,
  given: Float32Array,
  rowCount: number,
  bias: Float32Array | null,
): Promise<Float32Array> {
  const { elements: weight, rows, columns } = ownMatrix(handle);
  assertProduct({ rows, columns }, given, rowCount, bias);
  const x = activationsFor(handle, given);
  const result = new Float32Array(rowCount * rows);
  for (let firstRow = 0; firstRow < rows; firstRow += BLOCK_ROWS) {
    const blockRows = Math.min(BLOCK_ROWS, rows - firstRow);
    const blockBias = bias === null ? null : bias.subarray(firstRow, firstRow + blockRows);
    for (let r = 0; r < rowCount; r++) {
      multiplyRows({
        weight,
        columns,
        firstRow,
        rowCount: blockRows,
        x,
        xAt: r * columns,
        bias: blockBias,
        into: result,
        intoAt: r * rows + firstRow,
      });
      const pause = turns(blockRows * columns);
      if (pause !== null) await pause;
    }
  }
  return result;
}
