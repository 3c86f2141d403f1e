import { rangeLength } from '@ultramem/ultramem';
import { assertPool, localRow, refuseBlock } from '../check-requests.ts';
import { coreEdges } from '../core-edges.ts';
import { gateWeights } from '../gate-weights.ts';
import type { ValueTable } from '../kernels.ts';
import type { PoolRequest } from '../pooling.ts';
import { dotRows } from './dot-rows.ts';
import { ownValues, rowBuffer } from './load-values.ts';
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
  assertPool(table, request);
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
      refuseBlock(target, blockCount);
      table.readRow(localRow(table.rows, slot[entry]), row);
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
  const { tokenCount, entryStart, slot, weight, coreCount } = request;
  const dots = dotRows(pre.table, { tokenCount, entryStart, slot, query: pre.query });
  return gateWeights(dots, weight, coreCount, pre.activation);
}
