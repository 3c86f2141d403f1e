import type { ShardSlice } from '@ultramem/planner';
import { type Range, rangeLength, type ValueAddresses } from '@ultramem/ultramem';

/** The entries of a batch whose slots lie in one row range, in the order of the selection. Tokens without one are left out. */
export interface RoutedEntries {
  rows: Range;
  /** Shards that hold these rows, one for each column range, in column order. */
  shards: ShardSlice[];
  token: Uint32Array; // [tokens hit], positions in the batch
  entryStart: Uint32Array; // [tokens hit + 1]
  entry: Uint32Array; // [entries], positions in the selection
}

/**
 * Groups the winners of a batch by the row range that owns their slot (ARCHITECTURE, one lookup, step 6). One group per row
 * range, in row order, also when nothing was hit; under `columns` there is one range and all shards answer for it.
 */
export function routeEntries(
  slices: readonly ShardSlice[],
  addresses: ValueAddresses,
  tokenCount: number,
): RoutedEntries[] {
  const perToken = tokenCount === 0 ? 0 : addresses.slot.length / tokenCount;
  return rowGroups(slices).map(({ rows, shards }) => {
    const token: number[] = [];
    const entryStart: number[] = [0];
    const entry: number[] = [];
    for (let t = 0; t < tokenCount; t++) {
      for (let i = t * perToken; i < (t + 1) * perToken; i++) {
        const slot = addresses.slot[i];
        if (slot >= rows.start && slot < rows.end) entry.push(i);
      }
      if (entry.length > entryStart[entryStart.length - 1]) {
        token.push(t);
        entryStart.push(entry.length);
      }
    }
    return {
      rows,
      shards,
      token: Uint32Array.from(token),
      entryStart: Uint32Array.from(entryStart),
      entry: Uint32Array.from(entry),
    };
  });
}

/** Row ranges in row order, each with its shards in column order. The order of every sum: never that of arrival. */
export function rowGroups(slices: readonly ShardSlice[]): { rows: Range; shards: ShardSlice[] }[] {
  const groups = new Map<number, ShardSlice[]>();
  for (const slice of slices) groups.set(slice.rows.start, [...(groups.get(slice.rows.start) ?? []), slice]);
  return [...groups.entries()]
    .sort(([a], [b]) => a - b)
    .map(([, shards]) => ({
      rows: shards[0].rows,
      shards: shards.sort((a, b) => a.columns.start - b.columns.start),
    }));
}

/** Picks `width` numbers a row out of `from`: rows `at`, and of each the columns `columns`. */
export function gatherRows(
  from: Float32Array,
  rowWidth: number,
  at: Uint32Array,
  columns: Range,
): Float32Array {
  const width = rangeLength(columns);
  const into = new Float32Array(at.length * width);
  for (let i = 0; i < at.length; i++) {
    const start = at[i] * rowWidth;
    into.set(from.subarray(start + columns.start, start + columns.end), i * width);
  }
  return into;
}
