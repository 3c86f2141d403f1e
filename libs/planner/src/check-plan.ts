import { assert } from '@ultramem/invariant';
import { type MemoryGeometry, type Range, rangeLength } from '@ultramem/ultramem';
import type { ShardSlice } from './shard.ts';

/** Asserts that the slices cover every table exactly once, that keys do so or are absent, and that each shard has its own worker. */
export function checkPlan(
  geometry: MemoryGeometry,
  plan: { slices: readonly ShardSlice[]; workerIds: readonly string[] },
): void {
  const { slices, workerIds } = plan;
  assert(slices.length > 0 && slices.length === workerIds.length, 'every shard has a worker');
  assert(new Set(workerIds).size === workerIds.length, 'no worker has two shards');
  assert(
    slices.every((slice, i) => slice.shard === i),
    'slices are in shard order',
  );
  const values = slices.map((slice) => ({ rows: slice.rows, columns: slice.columns }));
  assert(
    coversOnce(values, geometry.tableRows, geometry.valueWidth),
    'slices cover the value table exactly once',
  );
  const pre = slices.map((slice) => ({ rows: slice.rows, columns: slice.preColumns }));
  if (geometry.preWidth > 0)
    assert(
      coversOnce(
        pre.filter(({ columns }) => rangeLength(columns) > 0),
        geometry.tableRows,
        geometry.preWidth,
      ),
      'slices cover the pre-values exactly once',
    );
  else
    assert(
      pre.every(({ columns }) => rangeLength(columns) === 0),
      'no slice has columns of a table that the model has not',
    );
  const keys = slices.flatMap((slice) => (slice.keys === null ? [] : [slice.keys]));
  assert(keys.length === 0 || keys.length === slices.length, 'all workers hold keys or none does');
  const oneColumn = { start: 0, end: 1 };
  const keyRows = keys.filter((rows) => rangeLength(rows) > 0).map((rows) => ({ rows, columns: oneColumn }));
  if (keys.length > 0)
    assert(coversOnce(keyRows, geometry.keyCount, 1), 'slices cover the keys exactly once');
}

interface Rectangle {
  rows: Range;
  columns: Range;
}

/** No rectangle is empty or sticks out, no two overlap, and their areas add up: then every element lies in exactly one. */
function coversOnce(rectangles: readonly Rectangle[], rowCount: number, columnCount: number): boolean {
  const inside = ({ start, end }: Range, length: number): boolean =>
    start >= 0 && start < end && end <= length;
  const disjoint = (a: Range, b: Range): boolean => a.end <= b.start || b.end <= a.start;
  const area = rectangles.reduce(
    (sum, { rows, columns }) => sum + rangeLength(rows) * rangeLength(columns),
    0,
  );
  return (
    area === rowCount * columnCount &&
    rectangles.every(({ rows, columns }) => inside(rows, rowCount) && inside(columns, columnCount)) &&
    rectangles.every((a, i) =>
      rectangles.slice(i + 1).every((b) => disjoint(a.rows, b.rows) || disjoint(a.columns, b.columns)),
    )
  );
}
