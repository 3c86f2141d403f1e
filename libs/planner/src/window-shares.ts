import { type MemoryGeometry, type Range, rangeLength } from '@ultramem/ultramem';

/** For each layer the share of the rows it can address that lies in `rows` (SEMANTICS 5.4: a cyclic window of the shared table). */
export function windowShares(geometry: MemoryGeometry, rows: Range): number[] {
  const { windowRows, windowStride, tableRows } = geometry;
  return Array.from({ length: geometry.layerCount }, (_, layer) => {
    const start = (layer * windowStride) % tableRows;
    const beforeWrap = overlap(rows, { start, end: Math.min(start + windowRows, tableRows) });
    const afterWrap = overlap(rows, { start: 0, end: Math.max(0, start + windowRows - tableRows) });
    return (beforeWrap + afterWrap) / windowRows;
  });
}

function overlap(a: Range, b: Range): number {
  return Math.max(0, rangeLength({ start: Math.max(a.start, b.start), end: Math.min(a.end, b.end) }));
}
