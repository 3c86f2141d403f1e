/** Half-open: `start .. end - 1`. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

export function rangeLength(range: Range): number {
  return range.end - range.start;
}
