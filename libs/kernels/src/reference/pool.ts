import { assert, OperatingError } from '@ultramem/invariant';
import { rangeLength } from '@ultramem/ultramem';
import { gateWeights } from '../gate-weights.ts';
import type { PoolRequest, ValueTable } from '../kernels.ts';
import { assertEntries, dotRows } from './dot-rows.ts';
import { localRow, ownValues, type ReferenceValues, rowBuffer } from './load-values.ts';
import type { Turns } from './turns.ts';

/**
 * Weighted sums of slots per token and block, `[tokenCount, blockCount, table columns]` (SEMANTICS 4.6, 5.5, 5.6). Entries
 * are added in their order in f64; a column depends on nothing but its own column, so slices agree bit for bit with the whole.
 *
 * @throws OperatingError SLOT_OUT_OF_RANGE, BLOCK_OUT_OF_RANGE.
 */
export async function pool(turns: Turns, handle: ValueTable, request: PoolRequest): Promise<Float32Array> {
  const table = ownValues(handle);
  const { tokenCount, entryStart, slot, block, blockCount, weight, coreCount } = request;
  assertEntries(request);
  assert(block.length === slot.length, 'every entry has a block');
  assert(weight.length === slot.length * coreCount, 'every entry has a weight per core');
  assert(table.fullWidth % coreCount === 0, 'cores weigh equal parts of the full width');
  const weights = request.pre === null ? weight : gatedWeights(request, request.pre);
  const width = rangeLength(table.columns);
  const edges = coreEdges(table, coreCount);
  const result = new Float32Array(tokenCount * blockCount * width);
  const sums = new Float64Array(blockCount * width);
  const row = rowBuffer(table);
  const { floats } = row;
  for (let token = 0; token < tokenCount; token++) {
    sums.fill(0);
    for (let entry = entryStart[token]; entry < entryStart[token + 1]; entry++) {
      const target = block[entry];
      if (target >= blockCount) throw blockOutOfRange(target, blockCount);
      table.readRow(localRow(table, slot[entry]), row);
      for (let core = 0; core < coreCount; core++) {
        const w = weights[entry * coreCount + core];
        const end = edges[core + 1];
        for (let c = edges[core]; c < end; c++) sums[target * width + c] += w * floats[c];
      }
    }
    result.set(sums, token * sums.length);
    const pause = turns((entryStart[token + 1] - entryStart[token]) * width);
    if (pause !== null) await pause;
  }
  return result;
}

function gatedWeights(request: PoolRequest, pre: NonNullable<PoolRequest['pre']>): Float32Array {
  assert(rangeLength(pre.table.columns) === pre.table.fullWidth, 'a gate takes whole pre-value rows');
  const { tokenCount, entryStart, slot, weight, coreCount } = request;
  const dots = dotRows(pre.table, { tokenCount, entryStart, slot, query: pre.query });
  return gateWeights(dots, weight, coreCount, pre.activation);
}

/** Where each core's part begins and ends within the handle's columns; cores divide the full width, not the slice. */
function coreEdges(table: ReferenceValues, coreCount: number): number[] {
  const { start, end } = table.columns;
  const part = table.fullWidth / coreCount;
  return Array.from(
    { length: coreCount + 1 },
    (_, core) => Math.min(Math.max(core * part, start), end) - start,
  );
}

function blockOutOfRange(block: number, blockCount: number): OperatingError {
  return new OperatingError(
    'BLOCK_OUT_OF_RANGE',
    `block ${block} was asked for; expected a block below ${blockCount}; check that both sides hold the same model`,
  );
}
