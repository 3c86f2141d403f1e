import { dequantizeRow, fromFloat32, quantizeRows, toFloat32 } from '@ultramem/checkpoint';
import { unreachable } from '@ultramem/invariant';
import { int8RowBytes } from '@ultramem/ultramem';

/** What pooled vectors are rounded to for slow links. */
export type PackedEncoding = 'bf16' | 'int8';

/**
 * Vectors `[.., width]` rounded: to bf16, each number off by at most 2^-8 of itself; or to int8 with a bf16 scale for each 64 of a
 * vector's numbers, each off by at most half a scale, 1/254 of the block's largest and a little.
 *
 * @returns null where a number is not finite, for which int8 has no place
 */
export function packVectors(
  values: Float32Array,
  width: number,
  encoding: PackedEncoding,
): Uint8Array | null {
  switch (encoding) {
    case 'bf16':
      return fromFloat32('BF16', values);
    case 'int8': {
      const bytes = quantizeRows(values, width);
      return bytes instanceof Uint8Array ? bytes : null;
    }
    default:
      return unreachable(encoding);
  }
}

/** The numbers again, or null where the bytes are not `count` of them. */
export function unpackVectors(
  bytes: Uint8Array,
  count: number,
  width: number,
  encoding: PackedEncoding,
): Float32Array | null {
  if (bytes.length !== packedBytes(count, width, encoding)) return null;
  if (encoding === 'bf16') return toFloat32('BF16', aligned(bytes));
  const columns = { start: 0, end: width };
  const values = new Float32Array(count);
  for (let row = 0; row * width < count; row++)
    dequantizeRow(bytes, row, columns, values.subarray(row * width, (row + 1) * width));
  return values;
}

function packedBytes(count: number, width: number, encoding: PackedEncoding): number {
  if (encoding === 'bf16') return 2 * count;
  return width === 0 ? 0 : (count / width) * int8RowBytes({ start: 0, end: width });
}

/** Bytes of a message begin anywhere. */
function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 2 === 0 ? bytes : Uint8Array.from(bytes);
}
