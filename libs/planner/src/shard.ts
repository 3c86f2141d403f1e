import type { Range } from '@ultramem/ultramem';

/** What one worker owns, in every table of the model: all tables of a family have the same shape. */
export interface ShardSlice {
  readonly shard: number;
  /** Rows of the value and pre-value tables. */
  readonly rows: Range;
  /** Columns of the value tables. */
  readonly columns: Range;
  /** Columns of the pre-value table: all under `slots`, empty where the model has none. */
  readonly preColumns: Range;
  /** Key rows of both axes and every layer, or null when only the coordinator holds keys. */
  readonly keys: Range | null;
}
