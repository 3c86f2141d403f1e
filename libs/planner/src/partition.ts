import { OperatingError } from '@ultramem/invariant';

/**
 * How the tables are cut. `slots`: a worker owns a range of rows, all columns. `columns`: all rows, a range of columns.
 * `grid`: a row range and a column range; shard = row part * columnParts + column part.
 */
export type Partition =
  | { readonly kind: 'slots' }
  | { readonly kind: 'columns' }
  | { readonly kind: 'grid'; readonly rowParts: number; readonly columnParts: number };

/**
 * `slots`, `columns`, `grid:2x3` (row parts x column parts) or `auto`.
 *
 * @throws OperatingError USAGE for anything else.
 */
export function parsePartition(text: string): Partition | 'auto' {
  if (text === 'auto') return text;
  if (text === 'slots' || text === 'columns') return { kind: text };
  const grid = /^grid:([1-9]\d{0,5})x([1-9]\d{0,5})$/.exec(text);
  if (grid) return { kind: 'grid', rowParts: Number(grid[1]), columnParts: Number(grid[2]) };
  throw new OperatingError(
    'USAGE',
    `the partition is ${JSON.stringify(text)}; expected slots, columns, grid:ROWSxCOLUMNS (such as grid:2x2) or auto; correct it`,
  );
}

/** The inverse of `parsePartition`. */
export function formatPartition(partition: Partition | 'auto'): string {
  if (partition === 'auto') return partition;
  return partition.kind === 'grid' ? `grid:${partition.rowParts}x${partition.columnParts}` : partition.kind;
}

/** Row parts and column parts of a partition over `workerCount` workers; `slots` is a grid of one column, `columns` of one row. */
export function partsOf(
  partition: Partition,
  workerCount: number,
): { rowParts: number; columnParts: number } {
  switch (partition.kind) {
    case 'slots':
      return { rowParts: workerCount, columnParts: 1 };
    case 'columns':
      return { rowParts: 1, columnParts: workerCount };
    case 'grid':
      return { rowParts: partition.rowParts, columnParts: partition.columnParts };
  }
}
