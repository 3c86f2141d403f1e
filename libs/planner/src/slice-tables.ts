import type { MemoryGeometry } from '@ultramem/ultramem';
import type { KeysMode } from './keys-mode.ts';
import { formatPartition, type Partition, partsOf } from './partition.ts';
import type { ShardSlice } from './shard.ts';
import { splitByWeight } from './split-range.ts';

/** A worker process that can take a shard. Order in a list of them is the order of shards among equals. */
export interface WorkerCapacity {
  readonly id: string;
  /** Memory for tables and keys. */
  readonly capacityBytes: number;
}

export interface SlicedTables {
  slices: ShardSlice[]; // [workers], index = shard
  workers: WorkerCapacity[]; // [workers], the owner of each shard
}

/**
 * Cuts the tables in proportion to the workers' memory: capacities 2:1:1 give rows (or columns) 2:1:1. A grid takes
 * workers largest first, so that like stands beside like, and cuts rows by the memory of each row group and columns by that
 * of each column group. Returns why not, when there are fewer rows or columns than parts.
 */
export function sliceTables(
  geometry: MemoryGeometry,
  partition: Partition,
  keys: KeysMode,
  workers: readonly WorkerCapacity[],
): SlicedTables | string {
  const { rowParts, columnParts } = partsOf(partition, workers.length);
  const shape = invalidShape(geometry, partition, workers.length);
  if (shape !== null) return shape;
  const owners =
    partition.kind === 'grid' ? [...workers].sort((a, b) => b.capacityBytes - a.capacityBytes) : [...workers];
  const capacityOf = (shards: number[]): number =>
    shards.reduce((sum, shard) => sum + owners[shard].capacityBytes, 0);
  const rowWeights = upTo(rowParts).map((row) =>
    capacityOf(upTo(columnParts).map((column) => row * columnParts + column)),
  );
  const columnWeights = upTo(columnParts).map((column) =>
    capacityOf(upTo(rowParts).map((row) => row * columnParts + column)),
  );
  const rows = splitByWeight(geometry.tableRows, rowWeights);
  const columns = splitByWeight(geometry.valueWidth, columnWeights);
  // With fewer pre-value columns (or keys) than parts, the last parts have none: their owners take no part in that phase.
  const preColumns =
    geometry.preWidth === 0
      ? []
      : splitByWeight(geometry.preWidth, columnWeights.slice(0, geometry.preWidth));
  const noPreColumns = { start: geometry.preWidth, end: geometry.preWidth };
  const noKeys = { start: geometry.keyCount, end: geometry.keyCount };
  const keyWeights = owners.map((owner) => owner.capacityBytes).slice(0, geometry.keyCount);
  const keyRanges = keys === 'coordinator' ? null : splitByWeight(geometry.keyCount, keyWeights);
  const slices = upTo(workers.length).map((shard): ShardSlice => {
    const column = shard % columnParts;
    return {
      shard,
      rows: rows[(shard - column) / columnParts],
      columns: columns[column],
      preColumns: preColumns[column] ?? noPreColumns,
      keys: keyRanges === null ? null : (keyRanges[shard] ?? noKeys),
    };
  });
  return { slices, workers: owners };
}

/** Why this partition cannot be cut at all, or null. */
function invalidShape(geometry: MemoryGeometry, partition: Partition, workerCount: number): string | null {
  const { rowParts, columnParts } = partsOf(partition, workerCount);
  const name = formatPartition(partition);
  const cells = rowParts * columnParts;
  if (cells !== workerCount) return `${name} needs ${cells} workers, there are ${workerCount}`;
  if (rowParts > geometry.tableRows)
    return `${name} has more workers (${rowParts}) than rows (${geometry.tableRows})`;
  if (columnParts > geometry.valueWidth)
    return `${name} has more workers (${columnParts}) than columns (${geometry.valueWidth})`;
  return null;
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
