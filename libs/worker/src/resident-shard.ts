import type { Checkpoint } from '@ultramem/checkpoint';
import { type Kernels, loadMemoryTables, type MemoryTables } from '@ultramem/kernels';
import type { MessageOfKind } from '@ultramem/protocol';
import type { MemoryGeometry } from '@ultramem/ultramem';

/** The slice this worker answers for, and since which epoch. */
export interface ResidentShard {
  readonly shard: number;
  readonly epoch: number;
  readonly geometry: MemoryGeometry;
  readonly slice: ShardSlice;
  readonly tables: MemoryTables;
}

export type ShardSlice = Pick<MessageOfKind<'assign'>, 'rows' | 'columns' | 'preColumns' | 'keys'>;

/**
 * Makes an assignment resident. What is already held is kept when the slice is the same, so that a coordinator that comes
 * back costs nothing but a handshake.
 *
 * @throws OperatingError CHECKPOINT_INVALID, CHECKPOINT_READ_FAILED
 */
export async function loadShard(
  assignment: MessageOfKind<'assign'>,
  held: ResidentShard | null,
  world: {
    checkpoint: Checkpoint;
    geometry: MemoryGeometry;
    kernels: Kernels;
    onProgress: (loadedBytes: number, totalBytes: number) => void;
  },
): Promise<ResidentShard> {
  const { shard, epoch, rows, columns, preColumns, keys } = assignment;
  const slice: ShardSlice = { rows, columns, preColumns, keys };
  const { geometry } = world;
  if (held !== null && sameSlice(held.slice, slice)) return { ...held, shard, epoch };
  held?.tables.release();
  const tables = await loadMemoryTables(
    world.checkpoint,
    world.kernels,
    { keys, values: { rows, columns, preColumns } },
    world.onProgress,
  );
  return { shard, epoch, geometry, slice, tables };
}

/** Why an assignment cannot be of this checkpoint, or null. */
export function invalidAssignment(
  assignment: MessageOfKind<'assign'>,
  geometry: MemoryGeometry,
): string | null {
  const inside = (range: { start: number; end: number }, length: number) =>
    range.start <= range.end && range.end <= length;
  if (!inside(assignment.rows, geometry.tableRows))
    return `rows end at ${assignment.rows.end}, but the table has ${geometry.tableRows}`;
  if (!inside(assignment.columns, geometry.valueWidth))
    return `columns end at ${assignment.columns.end}, but values have ${geometry.valueWidth}`;
  if (!inside(assignment.preColumns, geometry.preWidth))
    return `pre-value columns end at ${assignment.preColumns.end}, but there are ${geometry.preWidth}`;
  if (assignment.keys !== null && !inside(assignment.keys, geometry.keyCount))
    return `keys end at ${assignment.keys.end}, but an axis has ${geometry.keyCount}`;
  return null;
}

function sameSlice(a: ShardSlice, b: ShardSlice): boolean {
  const same = (x: { start: number; end: number } | null, y: { start: number; end: number } | null) =>
    x === y || (x !== null && y !== null && x.start === y.start && x.end === y.end);
  return (
    same(a.rows, b.rows) &&
    same(a.columns, b.columns) &&
    same(a.preColumns, b.preColumns) &&
    same(a.keys, b.keys)
  );
}
