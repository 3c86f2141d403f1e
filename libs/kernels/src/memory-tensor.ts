import { DTYPE_BYTES, type DType, fromFloat32, quantizeRows, type TensorSource } from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';

/**
 * A tensor over an array: floats are rounded to `dtype` (nearest, ties to even; INT8_BLOCK64 takes rows `[.., width]`), I64 takes a
 * `BigInt64Array`. Later changes of `values` do not show.
 */
export function memoryTensor(
  name: string,
  dtype: DType,
  shape: readonly number[],
  values: Float32Array | BigInt64Array | readonly number[],
): TensorSource {
  assert(
    values.length === shape.reduce((product, size) => product * size, 1),
    `${name}: the values fill the shape`,
  );
  const bytes = storedBytes(name, dtype, values, shape);
  return {
    name,
    dtype,
    shape,
    file: null,
    read: async (first, byteCount) => {
      assert(
        first >= 0 && byteCount >= 0 && first + byteCount <= bytes.byteLength,
        `${name} is read inside its bounds`,
      );
      return bytes.slice(first, first + byteCount);
    },
  };
}

function storedBytes(
  name: string,
  dtype: DType,
  values: Float32Array | BigInt64Array | readonly number[],
  shape: readonly number[],
): Uint8Array {
  if (values instanceof BigInt64Array) {
    assert(dtype === 'I64', `${name}: 64-bit integers are stored as I64`);
    return new Uint8Array(values.slice().buffer, 0, values.length * DTYPE_BYTES[dtype]);
  }
  assert(dtype !== 'I64', `${name}: floats are stored as floats`);
  if (dtype === 'INT8_BLOCK64') {
    assert(shape.length === 2, `${name}: a table has rows and columns`);
    const bytes = quantizeRows(Float32Array.from(values), shape[1] as number);
    assert(bytes instanceof Uint8Array, `${name}: a table of int8 holds finite numbers`);
    return bytes;
  }
  return fromFloat32(dtype, Float32Array.from(values));
}
