import type { ShardSlice } from '@ultramem/planner';
import { type Range, rangeLength } from '@ultramem/ultramem';

/** Row ranges in row order, each with its shards in column order. The order of every sum: never that of arrival. */
export interface RowGroup {
  readonly rows: Range;
  readonly shards: readonly ShardSlice[];
}

/** The winners of a batch, one entry after the other; every token has the same number. */
export interface Winners {
  slot: Uint32Array; // [entries]
  block: Uint8Array; // [entries]
  weight: Float32Array; // [entries, coreCount]
  coreCount: number;
}

/** The winners whose slots lie in one row range, in the order of the selection. Tokens without one are left out. */
export interface RoutedEntries extends RowGroup {
  token: Uint32Array; // [tokens hit], positions in the batch
  entryStart: Uint32Array; // [tokens hit + 1]
  slot: Uint32Array; // [entries]
  block: Uint8Array; // [entries]
  weight: Float32Array; // [entries, coreCount]
}

export function rowGroups(slices: readonly ShardSlice[]): RowGroup[] {
  const groups = new Map<number, ShardSlice[]>();
  for (const slice of slices) groups.set(slice.rows.start, [...(groups.get(slice.rows.start) ?? []), slice]);
  return [...groups.entries()]
    .sort(([a], [b]) => a - b)
    .map(([, shards]) => ({
      rows: shards[0].rows,
      shards: shards.sort((a, b) => a.columns.start - b.columns.start),
    }));
}

/**
 * Groups the winners of a batch by the row range that owns their slot (ARCHITECTURE, one lookup, step 6). One group per row
 * range, in row order, also when nothing was hit; under `columns` there is one range, which takes the winners as they are.
 *
 * @param groups that together hold every row
 */
export function routeEntries(
  groups: readonly RowGroup[],
  winners: Winners,
  tokenCount: number,
): RoutedEntries[] {
  const perToken = tokenCount === 0 ? 0 : winners.slot.length / tokenCount;
  if (groups.length === 1 && perToken > 0) {
    const { slot, block, weight } = winners;
    const token = new Uint32Array(tokenCount);
    const entryStart = new Uint32Array(tokenCount + 1);
    for (let t = 0; t < tokenCount; t++) {
      token[t] = t;
      entryStart[t + 1] = (t + 1) * perToken;
    }
    return [{ token, entryStart, slot, block, weight, ...groups[0] }];
  }
  const owner = ownersOf(groups, winners.slot);
  return cutByOwner(groups, winners, owner, tokenCount);
}

/** The group of every slot. Ranges are about equal, so a group is guessed by proportion and hardly ever corrected. */
function ownersOf(groups: readonly RowGroup[], slot: Uint32Array): Uint16Array {
  const owner = new Uint16Array(slot.length);
  const ends = Float64Array.from(groups, ({ rows }) => rows.end);
  const starts = Float64Array.from(groups, ({ rows }) => rows.start);
  const perRow = groups.length / ends[ends.length - 1];
  for (let i = 0; i < slot.length; i++) {
    const row = slot[i];
    let group = (row * perRow) | 0;
    while (row >= ends[group]) group++;
    while (row < starts[group]) group--;
    owner[i] = group;
  }
  return owner;
}

/** All groups in one array of each kind, one group after the other: sizes first, then every entry to its place. */
function cutByOwner(
  groups: readonly RowGroup[],
  winners: Winners,
  owner: Uint16Array,
  tokenCount: number,
): RoutedEntries[] {
  const { coreCount } = winners;
  const groupCount = groups.length;
  const entryCount = winners.slot.length;
  const perToken = tokenCount === 0 ? 0 : entryCount / tokenCount;
  const next = firstOfEach(owner, groupCount);
  const first = next.slice();
  const slot = new Uint32Array(entryCount);
  const block = new Uint8Array(entryCount);
  const weight = new Float32Array(entryCount * coreCount);
  const token = new Uint32Array(groupCount * tokenCount);
  const entryStart = new Uint32Array(groupCount * (tokenCount + 1));
  const tokensHit = new Uint32Array(groupCount);
  for (let t = 0; t < tokenCount; t++) {
    for (let i = t * perToken; i < (t + 1) * perToken; i++) {
      const at = next[owner[i]]++;
      slot[at] = winners.slot[i];
      block[at] = winners.block[i];
      for (let c = 0; c < coreCount; c++) weight[at * coreCount + c] = winners.weight[i * coreCount + c];
    }
    for (let g = 0; g < groupCount; g++) {
      const end = next[g] - first[g];
      const start = g * (tokenCount + 1) + tokensHit[g];
      if (end === entryStart[start]) continue;
      token[g * tokenCount + tokensHit[g]] = t;
      entryStart[start + 1] = end;
      tokensHit[g]++;
    }
  }
  return groups.map((group, g) => ({
    token: token.subarray(g * tokenCount, g * tokenCount + tokensHit[g]),
    entryStart: entryStart.subarray(g * (tokenCount + 1), g * (tokenCount + 1) + tokensHit[g] + 1),
    slot: slot.subarray(first[g], next[g]),
    block: block.subarray(first[g], next[g]),
    weight: weight.subarray(first[g] * coreCount, next[g] * coreCount),
    ...group,
  }));
}

/** Where the entries of each group begin when groups stand one after the other. */
function firstOfEach(owner: Uint16Array, groupCount: number): Uint32Array {
  const first = new Uint32Array(groupCount + 1);
  for (let i = 0; i < owner.length; i++) first[owner[i] + 1]++;
  for (let g = 0; g < groupCount; g++) first[g + 1] += first[g];
  return first.subarray(0, groupCount);
}

/** Picks `width` numbers a row out of `from`: rows `at`, and of each the columns `columns`. All of them are `from` itself. */
export function gatherRows(
  from: Float32Array,
  rowWidth: number,
  at: Uint32Array,
  columns: Range,
): Float32Array {
  const width = rangeLength(columns);
  // Positions ascend: as many as there are rows means every row.
  if (width === rowWidth && at.length * width === from.length) return from;
  const into = new Float32Array(at.length * width);
  for (let i = 0; i < at.length; i++) {
    const start = at[i] * rowWidth;
    into.set(from.subarray(start + columns.start, start + columns.end), i * width);
  }
  return into;
}
