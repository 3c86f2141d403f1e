import { readFloats, readRectangle } from '@ultramem/checkpoint';
import { expect, it } from 'vitest';
import { memoryTensor } from './memory-tensor.ts';

it('reads back what it was given, rounded to its dtype', async () => {
  const values = Float32Array.of(1, -0.1, 65504, 1e-7);
  expect(await readFloats(memoryTensor('t', 'F32', [2, 2], values))).toEqual(values);
  expect([...(await readFloats(memoryTensor('t', 'F16', [4], values)))]).toEqual([
    1,
    -0.0999755859375,
    65504,
    2 ** -23,
  ]);
  expect(await readFloats(memoryTensor('t', 'BF16', [2], [1, 257]))).toEqual(Float32Array.of(1, 256));
  const integers = await memoryTensor('t', 'I64', [2], BigInt64Array.of(-1n, 2n)).read(0, 16);
  expect(new BigInt64Array(integers.buffer, integers.byteOffset, 2)).toEqual(BigInt64Array.of(-1n, 2n));
});

it('keeps its values and reads by byte range', async () => {
  const values = Float32Array.of(0, 1, 2, 3, 4, 5);
  const tensor = memoryTensor('t', 'F32', [2, 3], values.subarray(0));
  values.fill(9);
  const rectangle = await readRectangle(tensor, { start: 1, end: 2 }, { start: 1, end: 3 });
  expect(new Float32Array(rectangle.buffer, rectangle.byteOffset, 2)).toEqual(Float32Array.of(4, 5));
  await expect(tensor.read(20, 5)).rejects.toThrow('t is read inside its bounds');
});

it('refuses values that do not fill the shape or are not of its dtype', () => {
  expect(() => memoryTensor('t', 'F32', [2, 2], [1, 2, 3])).toThrow('t: the values fill the shape');
  expect(() => memoryTensor('t', 'I64', [1], [1])).toThrow('t: floats are stored as floats');
  expect(() => memoryTensor('t', 'F32', [1], BigInt64Array.of(1n))).toThrow(
    't: 64-bit integers are stored as I64',
  );
});
