import type { ValueTable } from './kernels.ts';

/** Where each core's part begins and ends within the handle's columns, `[coreCount + 1]`; cores divide the full width, not the slice. */
export function coreEdges(
  { columns: { start, end }, fullWidth }: Pick<ValueTable, 'columns' | 'fullWidth'>,
  coreCount: number,
): number[] {
  const part = fullWidth / coreCount;
  return Array.from(
    { length: coreCount + 1 },
    (_, core) => Math.min(Math.max(core * part, start), end) - start,
  );
}
