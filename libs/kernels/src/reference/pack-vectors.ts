import { dequantizeRow, fromFloat32, quantizeRows, toFloat32 } from '@ultramem/checkpoint';
import { unreachable } from '@ultramem/invariant';
import { type PackedEncoding, packedBytes } from '../packed-vectors.ts';

/** `Kernels.packVectors`. */
export function packVectors(
  values: Float32Array,
  width: number,
  encoding: PackedEncoding,
): Uint8Array | null {
  packedBytes(values.length, width, encoding); // asserts whole rows
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

/** `Kernels.unpackVectors`. */
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

/** Bytes of a message begin anywhere. */
function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 2 === 0 ? bytes : Uint8Array.from(bytes);
}
