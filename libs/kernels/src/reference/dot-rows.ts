import { assert } from '@ultramem/invariant';
import { rangeLength } from '@ultramem/ultramem';
import type { DotRequest, EntryList, ValueTable } from '../kernels.ts';
import { localRow, ownValues, rowBuffer } from './load-values.ts';
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
  assertEntries(request);
  assert(query.length === tokenCount * width, 'the query is [tokenCount, table columns]');
  const dots = new Float64Array(slot.length);
  const row = rowBuffer(table);
  for (let token = 0; token < tokenCount; token++)
    for (let entry = entryStart[token]; entry < entryStart[token + 1]; entry++) {
      table.readRow(localRow(table, slot[entry]), row);
      dots[entry] = dot(row.floats, 0, query, token * width, width);
    }
  return dots;
}

/** A ragged batch that starts at 0, never goes back and ends with its last entry. */
export function assertEntries({ tokenCount, entryStart, slot }: EntryList): void {
  assert(entryStart.length === tokenCount + 1, 'entryStart has one entry per token and one more');
  assert(
    entryStart[0] === 0 && entryStart[tokenCount] === slot.length,
    'entryStart runs from 0 to the number of entries',
  );
  for (let token = 0; token < tokenCount; token++)
    assert(entryStart[token] <= entryStart[token + 1], 'entryStart never goes back');
}
