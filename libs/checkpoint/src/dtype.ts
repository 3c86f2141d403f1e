import { assert, unreachable } from '@ultramem/invariant';
import { DTYPE_BYTES, type DType } from './tensor-source.ts';

export type FloatDType = Exclude<DType, 'I64' | 'INT8_BLOCK64'>;

export const FLOAT_DTYPES: readonly FloatDType[] = ['F32', 'F16', 'BF16'];

const wordBuffer = new Uint32Array(1);
const floatView = new Float32Array(wordBuffer.buffer);

/** Stored floats to f32, exactly. `bytes` must start aligned to its element, as every read of a tensor does. */
export function toFloat32(dtype: FloatDType, bytes: Uint8Array): Float32Array {
  const count = bytes.byteLength / DTYPE_BYTES[dtype];
  assert(Number.isInteger(count), 'the bytes are whole elements');
  if (dtype === 'F32') return new Float32Array(bytes.buffer, bytes.byteOffset, count).slice();
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, count);
  const words = new Uint32Array(count);
  if (dtype === 'BF16') for (let i = 0; i < count; i++) words[i] = halves[i] << 16;
  else for (let i = 0; i < count; i++) words[i] = wordOfF16(halves[i]);
  return new Float32Array(words.buffer);
}

/** f32 to stored floats, rounded to nearest, ties to even. */
export function fromFloat32(dtype: FloatDType, values: Float32Array): Uint8Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(dtype === 'F32' ? 0 : words.length);
  switch (dtype) {
    case 'F32':
      return new Uint8Array(values.slice().buffer);
    case 'BF16':
      for (let i = 0; i < words.length; i++) halves[i] = bf16OfWord(words[i]);
      break;
    case 'F16':
      for (let i = 0; i < words.length; i++) halves[i] = f16OfWord(words[i]);
      break;
    default:
      unreachable(dtype);
  }
  return new Uint8Array(halves.buffer);
}

export function bf16ToF32(bits: number): number {
  wordBuffer[0] = bits << 16;
  return floatView[0];
}

export function f16ToF32(bits: number): number {
  wordBuffer[0] = wordOfF16(bits);
  return floatView[0];
}

/** Bits of the nearest bf16, ties to even; NaN stays NaN. */
export function f32ToBf16(value: number): number {
  floatView[0] = value;
  return bf16OfWord(wordBuffer[0]);
}

/** Bits of the nearest f16, ties to even; from 65520 on infinite, NaN stays NaN. */
export function f32ToF16(value: number): number {
  floatView[0] = value;
  return f16OfWord(wordBuffer[0]);
}

function wordOfF16(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return (sign | 0x7f800000 | (fraction << 13)) >>> 0;
  if (exponent !== 0) return (sign | ((exponent + 112) << 23) | (fraction << 13)) >>> 0;
  if (fraction === 0) return sign >>> 0;
  // A subnormal f16 is a normal f32: shift its leading one out of the fraction.
  const shift = Math.clz32(fraction) - 21;
  return (sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)) >>> 0;
}

function bf16OfWord(word: number): number {
  if ((word & 0x7fffffff) > 0x7f800000) return (word >>> 16) | 0x40; // quiet, so that the fraction is not 0
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
}

function f16OfWord(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff);
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520, half way from the largest f16 to the next
  if (magnitude >= 0x38800000) {
    const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
    return sign | ((rounded - 0x38000000) >>> 13);
  }
  // Below 2^-14 f16 counts in steps of 2^-24; `significand` counts in 2^-23 of the number's own power of two.
  const shift = 126 - (magnitude >>> 23);
  if (shift > 24) return sign;
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const whole = significand >>> shift;
  const rest = significand & (2 ** shift - 1);
  const half = 2 ** (shift - 1);
  const roundsUp = rest > half || (rest === half && (whole & 1) === 1);
  return sign | (roundsUp ? whole + 1 : whole);
}
