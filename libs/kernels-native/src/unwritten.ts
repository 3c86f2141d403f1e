import { Buffer } from 'node:buffer';

type Numbers = Float32Array | Float64Array | Uint32Array | Uint8Array;

/** Clearing less costs nothing beside the call. */
const CLEARED_BYTES_MAX = 16 * 1024;

/**
 * An array of numbers that are whatever was in memory, for results of which native code writes every element. Clearing them first took
 * a tenth of a forward pass, on the one thread that has other things to do.
 */
export function unwritten<T extends Numbers>(
  Type: {
    new (buffer: ArrayBufferLike, byteOffset: number, length: number): T;
    readonly BYTES_PER_ELEMENT: number;
  },
  length: number,
): T {
  const byteCount = length * Type.BYTES_PER_ELEMENT;
  const isSmall = byteCount <= CLEARED_BYTES_MAX;
  // Not of the pool that other buffers share, so it begins at 0.
  const buffer = isSmall ? new ArrayBuffer(byteCount) : Buffer.allocUnsafeSlow(byteCount).buffer;
  return new Type(buffer, 0, length);
}
