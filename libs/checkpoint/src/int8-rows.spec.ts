import { createRandom } from '@ultramem/environment';
import { describe, expect, it } from 'vitest';
import { bf16ToF32, toFloat32 } from './dtype.ts';
import { dequantizeRow, floatSource, quantizeRows } from './int8-rows.ts';
import { readRectangle } from './read-tensor.ts';
import type { TensorSource } from './tensor-source.ts';

const random = createRandom(3);
const normals = (length: number, scale = 1) => Float32Array.from({ length }, () => scale * random.normal());

function quantized(values: Float32Array, width: number): Uint8Array {
  const bytes = quantizeRows(values, width);
  if (!(bytes instanceof Uint8Array)) throw new Error('the values are finite');
  return bytes;
}

function source(bytes: Uint8Array, rows: number, width: number): TensorSource {
  return {
    ...{ name: 'table', dtype: 'INT8_BLOCK64', shape: [rows, width], file: null },
    read: async (first, count) => bytes.slice(first, first + count),
  };
}

function widened(bytes: Uint8Array, row: number, columns: { start: number; end: number }): Float32Array {
  const into = new Float32Array(columns.end - columns.start);
  dequantizeRow(bytes, row, columns, into);
  return into;
}

describe('quantizeRows', () => {
  it.each([1, 1e-30, 1e30, 1e-39])('is off by half a scale at most, values about %d', (size) => {
    const values = normals(5 * 150, size);
    const bytes = quantized(values, 150);
    expect(bytes.length).toBe(5 * (150 + 3 * 2));
    for (let row = 0; row < 5; row++) {
      const got = widened(bytes, row, { start: 0, end: 150 });
      for (let c = 0; c < 150; c++) {
        const at = row * 156 + 150 + 2 * Math.floor(c / 64);
        const scale = bf16ToF32(bytes[at] + 256 * bytes[at + 1]);
        expect(Math.abs(got[c] - values[row * 150 + c])).toBeLessThanOrEqual((scale / 2) * (1 + 1e-6));
        const block = values.subarray(row * 150 + 64 * Math.floor(c / 64)).subarray(0, c < 128 ? 64 : 22);
        const largest = block.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
        expect(scale).toBeLessThanOrEqual(Math.max(2 ** -126, (largest / 127) * 1.008));
      }
    }
  });

  it('keeps zeros, signs and whole blocks of nothing', () => {
    const values = new Float32Array(130);
    values.set([0, 127, -127, 1, -1], 64);
    const got = widened(quantized(values, 130), 0, { start: 0, end: 130 });
    expect(got).toEqual(values);
  });

  it('names the first number that is not finite', () => {
    expect(quantizeRows(Float32Array.of(1, 2, 3, Number.NaN), 2)).toEqual({ notFinite: 3 });
    expect(quantizeRows(Float32Array.of(1, Number.NEGATIVE_INFINITY), 2)).toEqual({ notFinite: 1 });
  });
});

it('reads columns with the scales they need, also cut inside a block', async () => {
  const bytes = quantized(normals(7 * 200), 200);
  const table = source(bytes, 7, 200);
  for (const columns of [
    { start: 0, end: 200 },
    { start: 0, end: 64 },
    { start: 37, end: 171 },
    { start: 70, end: 81 },
    { start: 128, end: 200 },
    { start: 64, end: 64 },
  ]) {
    const kept = await readRectangle(table, { start: 2, end: 6 }, columns);
    for (let row = 0; row < 4; row++)
      expect(widened(kept, row, columns)).toEqual(
        widened(bytes, row + 2, { start: 0, end: 200 }).slice(columns.start, columns.end),
      );
  }
});

it('floatSource gives the bytes of an F32 tensor from any place', async () => {
  const bytes = quantized(normals(5 * 70), 70);
  const floats = floatSource(source(bytes, 5, 70));
  expect(floats).toMatchObject({ dtype: 'F32', shape: [5, 70], file: null });
  const whole = new Float32Array(5 * 70);
  for (let row = 0; row < 5; row++) whole.set(widened(bytes, row, { start: 0, end: 70 }), row * 70);
  expect(toFloat32('F32', await floats.read(0, 4 * 350))).toEqual(whole);
  expect(toFloat32('F32', await floats.read(4 * 69, 4 * 150))).toEqual(whole.slice(69, 219));
  expect((await floats.read(12, 0)).length).toBe(0);
  const plain = { ...source(bytes, 1, 1), dtype: 'BF16' as const };
  expect(floatSource(plain).read).toBe(plain.read);
  expect(floatSource(plain).dtype).toBe('BF16');
});
