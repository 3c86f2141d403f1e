import { assert, OperatingError } from '@ultramem/invariant';
import { type Range, rangeLength, type Selection, SIDES } from '@ultramem/ultramem';
import type { KeyTable, ValueTable } from './kernels.ts';
import type { DotRequest, EntryList, PoolRequest } from './pooling.ts';
import type { GridRequest, ScoreRequest } from './selection.ts';

// What every backend demands of a request before it touches memory. Sizes that do not fit are assertions, numbers out of range errors.

export function assertScores(
  { headCount, width, rank }: Pick<KeyTable, 'headCount' | 'width' | 'rank'>,
  { query, tokenCount, groupCount, groupOfHead, collapse }: ScoreRequest,
): void {
  assert(
    query.length === tokenCount * groupCount * SIDES * width,
    'the query is [tokenCount, groupCount, 2, width]',
  );
  assert(groupOfHead.length === headCount, 'every head has a query group');
  for (const group of groupOfHead) assert(group < groupCount, 'a head takes a query group that is there');
  assert(
    collapse.row.length === headCount * rank && collapse.column.length === headCount * rank,
    'u and v are [heads, rank]',
  );
}

export function assertGrid(request: GridRequest): void {
  const { candidates, headCount, rank } = request;
  const { tokenCount, perSide, index, refined } = candidates;
  assert(
    index.length === tokenCount * headCount * SIDES * perSide,
    'candidates are [tokenCount, heads, 2, perSide]',
  );
  assert(refined.length === index.length * rank, 'every candidate has a refined score per rank');
  assertCores(request, headCount, rank);
}

export function assertCores(
  { cores, coreCount }: Pick<GridRequest, 'cores' | 'coreCount'>,
  headCount: number,
  rank: number,
): void {
  assert(
    cores === null || cores.length === coreCount * headCount * rank * rank,
    'cores are [coreCount, heads, rank, rank]',
  );
  assert(
    cores !== null || (coreCount === 1 && rank === 1),
    'without cores there is one score per winner and one rank',
  );
}

/** A selection to be filled. */
export function emptySelection(tokenCount: number, perToken: number, coreCount: number): Selection {
  return {
    tokenCount,
    perToken,
    virtualIndex: new Float64Array(tokenCount * perToken),
    scores: new Float32Array(tokenCount * perToken * coreCount),
    rankScore: new Float32Array(tokenCount * perToken),
  };
}

export function assertPool(table: ValueTable, request: PoolRequest): void {
  const { tokenCount, slot, block, weight, coreCount, pre } = request;
  assertEntries(request);
  assert(block.length === slot.length, 'every entry has a block');
  assert(weight.length === slot.length * coreCount, 'every entry has a weight per core');
  assert(table.fullWidth % coreCount === 0, 'cores weigh equal parts of the full width');
  if (pre === null) return;
  assert(rangeLength(pre.table.columns) === pre.table.fullWidth, 'a gate takes whole pre-value rows');
  assertQuery(pre.table, tokenCount, pre.query);
}

export function assertDots(table: ValueTable, request: DotRequest): void {
  assertEntries(request);
  assertQuery(table, request.tokenCount, request.query);
}

function assertQuery(table: ValueTable, tokenCount: number, query: Float32Array): void {
  assert(
    query.length === tokenCount * rangeLength(table.columns),
    'the query is [tokenCount, table columns]',
  );
}

/** A ragged batch that starts at 0, never goes back and ends with its last entry. */
function assertEntries({ tokenCount, entryStart, slot }: EntryList): void {
  assert(entryStart.length === tokenCount + 1, 'entryStart has one entry per token and one more');
  assert(
    entryStart[0] === 0 && entryStart[tokenCount] === slot.length,
    'entryStart runs from 0 to the number of entries',
  );
  for (let token = 0; token < tokenCount; token++)
    assert(entryStart[token] <= entryStart[token + 1], 'entryStart never goes back');
}

/** The token of each entry. */
export function tokenOfEntry({ tokenCount, entryStart, slot }: EntryList): Uint32Array {
  const token = new Uint32Array(slot.length);
  for (let t = 0; t < tokenCount; t++) token.fill(t, entryStart[t], entryStart[t + 1]);
  return token;
}

/**
 * Row of a handle that holds a slot of the whole table. Devices answer zeros, or what lies beside their buffer, for rows that are not there.
 *
 * @throws OperatingError SLOT_OUT_OF_RANGE
 */
export function localRow({ start, end }: Range, slot: number): number {
  if (slot < start || slot >= end)
    throw new OperatingError(
      'SLOT_OUT_OF_RANGE',
      `slot ${slot} was asked for; expected a slot of ${start} to ${end - 1}; check that both sides hold the same plan and model`,
    );
  return slot - start;
}

/** @throws OperatingError SLOT_OUT_OF_RANGE */
export function localRows(rows: Range, slots: Uint32Array): Uint32Array {
  const local = new Uint32Array(slots.length);
  for (let entry = 0; entry < slots.length; entry++) local[entry] = localRow(rows, slots[entry]);
  return local;
}

/** @throws OperatingError BLOCK_OUT_OF_RANGE */
export function refuseBlock(block: number, blockCount: number): void {
  if (block >= blockCount)
    throw new OperatingError(
      'BLOCK_OUT_OF_RANGE',
      `block ${block} was asked for; expected a block below ${blockCount}; check that both sides hold the same model`,
    );
}
