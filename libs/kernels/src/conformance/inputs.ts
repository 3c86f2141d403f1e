import { type DType, type FloatDType, fromFloat32, toFloat32 } from '@ultramem/checkpoint';
import { createRandom } from '@ultramem/environment';
import { memoryTensor } from '../memory-tensor.ts';

/** Standard normal numbers, the same for the same seed. */
export function normals(seed: number, length: number, scale = 1): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length }, () => scale * random.normal());
}

/** Whole numbers 0 .. below - 1. */
export function wholes(seed: number, length: number, below: number): Uint32Array {
  const random = createRandom(seed);
  return Uint32Array.from({ length }, () => random.uint32() % below);
}

/** The values as a table stores them, and a tensor of them. */
export function table(dtype: FloatDType, shape: readonly number[], values: Float32Array) {
  const name: DType = dtype;
  return {
    source: memoryTensor(`table of ${name}`, dtype, shape, values),
    stored: toFloat32(dtype, fromFloat32(dtype, values)),
  };
}

/** The same values inside a larger buffer, between elements that would spoil a result. */
export function inside(values: Float32Array): Float32Array {
  const padded = new Float32Array(values.length + 5).fill(Number.NaN);
  padded.set(values, 3);
  return padded.subarray(3, 3 + values.length);
}

export function wholesInside(values: Uint32Array): Uint32Array {
  const padded = new Uint32Array(values.length + 5).fill(0xffffffff);
  padded.set(values, 3);
  return padded.subarray(3, 3 + values.length);
}

export function bytesInside(values: Uint8Array): Uint8Array {
  const padded = new Uint8Array(values.length + 5).fill(0xff);
  padded.set(values, 3);
  return padded.subarray(3, 3 + values.length);
}
