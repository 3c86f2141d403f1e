import { assert } from '@ultramem/invariant';
import { int8RowBytes } from '@ultramem/ultramem';

/** What pooled vectors are rounded to for slow links. */
export type PackedEncoding = 'bf16' | 'int8';

/** Bytes of `count` packed numbers, which are rows of `width`. */
export function packedBytes(count: number, width: number, encoding: PackedEncoding): number {
  assert(width === 0 ? count === 0 : count % width === 0, 'packed vectors are whole rows');
  if (encoding === 'bf16') return 2 * count;
  return width === 0 ? 0 : (count / width) * int8RowBytes({ start: 0, end: width });
}
