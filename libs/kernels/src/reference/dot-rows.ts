import { rangeLength } from '@ultramem/ultramem';
import { assertDots, localRow } from '../check-requests.ts';
import type { ValueTable } from '../kernels.ts';
import type { DotRequest } from '../pooling.ts';
import { ownValues, rowBuffer } from './load-values.ts';
import { dot } from './multiply-rows.ts';

/**
 * Dot product of each entry's row with its token's query, `[entries]` in f64 (SEMANTICS 5.5).
 *
 * @throws OperatingError SLOT_OUT_OF_RANGE for a slot outside the handle's rows.
 */
export function dotRows(handle: ValueTable, request: DotRequest): Float64Array {
  const table = ownValues(handle);
  const width = rangeLength(table.columns);
  const { tokenCount, entryStart, slot, query } = request;
  assertDots(table, request);
  const dots = new Float64Array(slot.length);
  const row = rowBuffer(table);
  for (let token = 0; token < tokenCount; token++)
    for (let entry = entryStart[token]; entry < entryStart[token + 1]; entry++) {
      table.readRow(localRow(table.rows, slot[entry]), row);
      dots[entry] = dot(row.floats, 0, query, token * width, width);
    }
  return dots;
}
