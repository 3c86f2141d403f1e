import {
  dequantizeRow,
  FLOAT_DTYPES,
  type FloatDType,
  fromFloat32,
  quantizeRows,
  toFloat32,
} from '@ultramem/checkpoint';
import { createRandom } from '@ultramem/environment';
import { assert } from '@ultramem/invariant';
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

/** Types that a value table may be stored in. */
export type TableDType = FloatDType | 'INT8_BLOCK64';
export const TABLE_DTYPES: readonly TableDType[] = [...FLOAT_DTYPES, 'INT8_BLOCK64'];

/** The values as a table stores them, and a tensor of them. */
export function table(dtype: TableDType, shape: readonly number[], values: Float32Array) {
  return {
    source: memoryTensor(`table of ${dtype}`, dtype, shape, values),
    stored:
      dtype === 'INT8_BLOCK64'
        ? dequantized(values, shape[shape.length - 1])
        : toFloat32(dtype, fromFloat32(dtype, values)),
  };
}

function dequantized(values: Float32Array, width: number): Float32Array {
  const bytes = quantizeRows(values, width);
  assert(bytes instanceof Uint8Array, 'the values are finite');
  const stored = new Float32Array(values.length);
  for (let row = 0; row * width < values.length; row++)
    dequantizeRow(bytes, row, { start: 0, end: width }, stored.subarray(row * width, (row + 1) * width));
  return stored;
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
