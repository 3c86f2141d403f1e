import { assert } from '@ultramem/invariant';
import { type Range, rangeLength } from '@ultramem/ultramem';

/** What one shard pooled: its rows' share of the sums, for its columns and the tokens it was asked about. */
export interface PooledPart {
  token: Uint32Array; // positions in the batch, ascending
  /** The same as another part's, or beside it. */
  columns: Range;
  pooled: Float32Array; // [token.length, blockCount, columns]
}

export interface PooledSize {
  tokenCount: number;
  blockCount: number;
  width: number;
}

/** As `check-requests.ts` for the other operations. */
export function assertPartials(parts: readonly PooledPart[], size: PooledSize): void {
  const { tokenCount, blockCount, width } = size;
  for (const { token, columns, pooled } of parts) {
    assert(
      0 <= columns.start && columns.start <= columns.end && columns.end <= width,
      'the columns lie inside the width',
    );
    assert(
      pooled.length === token.length * blockCount * rangeLength(columns),
      'a part is [its tokens, blockCount, its columns]',
    );
    for (let i = 0; i < token.length; i++)
      assert(token[i] < (i + 1 < token.length ? token[i + 1] : tokenCount), 'tokens ascend inside the batch');
  }
  const ranges = parts.map(({ columns }) => columns).filter((columns) => rangeLength(columns) > 0);
  ranges.sort((a, b) => a.start - b.start || a.end - b.end);
  for (let i = 1; i < ranges.length; i++) {
    const [before, after] = [ranges[i - 1], ranges[i]];
    assert(
      before.end <= after.start || (before.start === after.start && before.end === after.end),
      'column ranges are the same or lie beside each other',
    );
  }
}
