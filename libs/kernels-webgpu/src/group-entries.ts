import type { PoolRequest } from '@ultramem/kernels';

/** Entries of a batch put together by token and block, in their order within each; only groups that have entries. */
export interface Groups {
  /** `token * blockCount + block` of each group. */
  target: Uint32Array;
  /** Entries of group g are `start[g] .. start[g + 1] - 1`. */
  start: Uint32Array;
  rows: Uint32Array; // [entries]
  weights: Float32Array; // [entries, coreCount]
  coreCount: number;
}

/** A stable counting sort, so that a token's sums do not depend on its batch. */
export function groupEntries(request: PoolRequest, rows: Uint32Array, weights: Float32Array): Groups {
  const { tokenCount, entryStart, block, blockCount, coreCount } = request;
  const groups: Groups = {
    target: new Uint32Array(Math.min(rows.length, tokenCount * blockCount)),
    start: new Uint32Array(Math.min(rows.length, tokenCount * blockCount) + 1),
    rows: new Uint32Array(rows.length),
    weights: new Float32Array(weights.length),
    coreCount,
  };
  const place = new Uint32Array(blockCount);
  let groupCount = 0;
  let placed = 0;
  for (let token = 0; token < tokenCount; token++) {
    const [first, end] = [entryStart[token], entryStart[token + 1]];
    place.fill(0);
    for (let entry = first; entry < end; entry++) place[block[entry]]++;
    for (let b = 0; b < blockCount; b++) {
      const count = place[b];
      if (count === 0) continue;
      place[b] = placed;
      groups.target[groupCount] = token * blockCount + b;
      groups.start[groupCount++] = placed;
      placed += count;
    }
    for (let entry = first; entry < end; entry++) {
      const at = place[block[entry]]++;
      groups.rows[at] = rows[entry];
      for (let core = 0; core < coreCount; core++)
        groups.weights[at * coreCount + core] = weights[entry * coreCount + core];
    }
  }
  groups.start[groupCount] = placed;
  return {
    ...groups,
    target: groups.target.subarray(0, groupCount),
    start: groups.start.subarray(0, groupCount + 1),
  };
}
