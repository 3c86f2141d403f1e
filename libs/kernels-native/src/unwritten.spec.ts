import { describe, expect, it } from 'vitest';
import { unwritten } from './unwritten.ts';

describe('unwritten', () => {
  it.each([0, 1, 4096, 4097, 100_000])('has %d numbers in memory of their own', (length) => {
    const arrays = [
      unwritten(Float64Array, length),
      unwritten(Float32Array, length),
      unwritten(Uint32Array, length),
      unwritten(Uint8Array, length),
    ];
    for (const array of arrays) {
      expect(array).toHaveLength(length);
      expect(array.byteOffset).toBe(0);
      expect(array.buffer.byteLength).toBe(array.byteLength);
    }
    expect(new Set(arrays.map(({ buffer }) => buffer)).size).toBe(arrays.length);
  });
});
