import { type Range, rangeLength } from './range.ts';

/** Columns that share one scale in a table of block-scaled int8. */
export const SCALE_BLOCK = 64;

/** Scales are bf16: a scale times an int8 then has at most 15 bits, which f32 holds exactly. */
export const SCALE_BYTES = 2;

/** Blocks that a range of columns touches. */
export function scaleCount({ start, end }: Range): number {
  return start === end ? 0 : Math.ceil(end / SCALE_BLOCK) - Math.floor(start / SCALE_BLOCK);
}

/** Bytes of the columns of one row of block-scaled int8, with the scales of the blocks they touch. */
export function int8RowBytes(columns: Range): number {
  return rangeLength(columns) + scaleCount(columns) * SCALE_BYTES;
}
