import { int8RowBytes } from '@ultramem/ultramem';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packVectors, unpackVectors } from './pack-vectors.ts';

const vectors = fc
  .tuple(fc.integer({ min: 1, max: 150 }), fc.integer({ min: 0, max: 4 }))
  .chain(([width, rows]) =>
    fc.record({
      width: fc.constant(width),
      values: fc
        .array(fc.float({ min: -(2 ** 100), max: 2 ** 100, noNaN: true }), {
          minLength: width * rows,
          maxLength: width * rows,
        })
        .map((numbers) => Float32Array.from(numbers)),
    }),
  );

describe.each(['bf16', 'int8'] as const)('%s', (encoding) => {
  it('rounds by no more than it says, and takes the bytes it says', () => {
    fc.assert(
      fc.property(vectors, ({ values, width }) => {
        const bytes = packVectors(values, width, encoding)!;
        const rowBytes = encoding === 'bf16' ? 2 * width : int8RowBytes({ start: 0, end: width });
        expect(bytes.length).toBe((values.length / width) * rowBytes);
        const back = unpackVectors(bytes, values.length, width, encoding)!;
        for (const [i, value] of values.entries()) {
          const block = i - (i % width) + Math.floor((i % width) / 64) * 64;
          const end = Math.min(block + 64, i - (i % width) + width);
          const largest = values.subarray(block, end).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
          const allowed = encoding === 'bf16' ? Math.abs(value) / 256 : (largest / 254) * (1 + 1 / 128);
          expect(Math.abs(back[i]! - value)).toBeLessThanOrEqual(allowed + 2 ** -126);
        }
      }),
    );
  });

  it('refuses bytes of another number of vectors', () => {
    const bytes = packVectors(new Float32Array(12), 6, encoding)!;
    expect(unpackVectors(bytes.subarray(1), 12, 6, encoding)).toBeNull();
    expect(unpackVectors(bytes, 18, 6, encoding)).toBeNull();
  });

  it('reads bytes that begin at an odd address', () => {
    const values = Float32Array.of(1, -2, 0.5, 4);
    const bytes = packVectors(values, 2, encoding)!;
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(unpackVectors(shifted.subarray(1), 4, 2, encoding)).toEqual(unpackVectors(bytes, 4, 2, encoding));
  });
});

it('keeps what is not finite in bf16, and says where int8 cannot', () => {
  const values = Float32Array.of(1, Number.NaN, Number.NEGATIVE_INFINITY, 0);
  expect(unpackVectors(packVectors(values, 2, 'bf16')!, 4, 2, 'bf16')).toEqual(values);
  expect(packVectors(values, 2, 'int8')).toBeNull();
});
