import { bf16ToF32, type FloatDType, toFloat32 } from '@ultramem/checkpoint';

/** Greatest absolute value so far; infinity once a value appeared that TensorFlow's casts would not widen exactly. */
export interface ValueSpan {
  largest: number;
}

/** Takes the stored values of a piece of a table into account. F16 is widened exactly everywhere, its denormal numbers too. */
export function widenSpan(span: ValueSpan, dtype: FloatDType, bytes: Uint8Array): void {
  const largest = dtype === 'F32' ? largestF32(bytes) : largestHalf(dtype, bytes);
  span.largest = Math.max(span.largest, largest);
}

/** The order of the bits without the sign is that of the absolute values. */
function largestF32(bytes: Uint8Array): number {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  let largest = 0;
  let hasDenormal = false;
  for (let i = 0; i < words.length; i++) {
    const magnitude = words[i] & 0x7fffffff;
    if (magnitude > largest) largest = magnitude;
    if (magnitude < 0x00800000 && magnitude !== 0) hasDenormal = true;
  }
  if (hasDenormal || largest >= 0x7f800000) return Number.POSITIVE_INFINITY;
  return new Float32Array(Uint32Array.of(largest).buffer)[0];
}

function largestHalf(dtype: 'F16' | 'BF16', bytes: Uint8Array): number {
  const words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  const normalMin = dtype === 'BF16' ? 0x0080 : 0;
  const infinite = dtype === 'BF16' ? 0x7f80 : 0x7c00;
  let largest = 0;
  let hasDenormal = false;
  for (let i = 0; i < words.length; i++) {
    const magnitude = words[i] & 0x7fff;
    if (magnitude > largest) largest = magnitude;
    if (magnitude < normalMin && magnitude !== 0) hasDenormal = true;
  }
  if (hasDenormal || largest >= infinite) return Number.POSITIVE_INFINITY;
  const stored = new Uint8Array(Uint16Array.of(largest).buffer);
  return toFloat32(dtype, stored)[0];
}

/** Bound of the values of int8 rows with these bf16 scales; a scale is positive, or 0 where all values are. */
export function largestInt8(scales: Uint8Array): number {
  let largest = 0;
  for (let i = 0; i < scales.length; i += 2) {
    const scale = Math.abs(bf16ToF32(scales[i] | (scales[i + 1] << 8)));
    // Not so for NaN either: then the host decides.
    if (scale !== 0 && !(scale >= 2 ** -126 && scale < 2 ** 120)) return Number.POSITIVE_INFINITY;
    largest = Math.max(largest, 128 * scale);
  }
  return largest;
}
