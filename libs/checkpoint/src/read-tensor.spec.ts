import type { Range } from '@ultramem/ultramem';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FloatDType, fromFloat32, toFloat32 } from './dtype.ts';
import { readFloats, readKeyRows, readRectangle, readShuffle } from './read-tensor.ts';
import type { DType, TensorSource } from './tensor-source.ts';

const MIB = 1024 * 1024;

describe('readRectangle', () => {
  it('gives exactly the rows and columns asked for', async () => {
    const size = fc.integer({ min: 1, max: 40 });
    const arbitrary = fc
      .record({ rows: size, width: size, dtype: fc.constantFrom<FloatDType>('F32', 'BF16') })
      .chain((table) => fc.tuple(fc.constant(table), range(table.rows), range(table.width)));
    await fc.assert(
      fc.asyncProperty(arbitrary, async ([{ rows, width, dtype }, rowRange, columnRange]) => {
        const values = Float32Array.from({ length: rows * width }, (_, i) => i % 256);
        const { source } = tensor(dtype, [rows, width], fromFloat32(dtype, values));
        let progress = 0;
        const bytes = await readRectangle(source, rowRange, columnRange, (count) => {
          progress += count;
        });
        const expected: number[] = [];
        for (let row = rowRange.start; row < rowRange.end; row++)
          for (let column = columnRange.start; column < columnRange.end; column++)
            expected.push(values[row * width + column]);
        expect([...toFloat32(dtype, bytes)]).toEqual(expected);
        expect(progress).toBeGreaterThanOrEqual(bytes.length);
      }),
    );
  });

  it('reads whole rows in pieces of 8 MiB', async () => {
    const { source, reads } = tensor('F32', [5 * 1024, 1024], new Uint8Array(20 * MIB));
    await readRectangle(source, { start: 1024, end: 5120 }, { start: 0, end: 1024 });
    expect(reads).toEqual([
      [4 * MIB, 8 * MIB],
      [12 * MIB, 8 * MIB],
    ]);
  });

  it('reads through small gaps and skips large ones', async () => {
    const narrow = tensor('F32', [4, 1024], new Uint8Array(4 * 4096));
    await readRectangle(narrow.source, { start: 1, end: 4 }, { start: 1000, end: 1024 });
    expect(narrow.reads).toEqual([[4096 + 4000, 2 * 4096 + 96]]);
    const wide = tensor('F32', [4, 8192], new Uint8Array(4 * 32768));
    await readRectangle(wide.source, { start: 2, end: 4 }, { start: 0, end: 4096 });
    expect(wide.reads).toEqual([
      [2 * 32768, 16384],
      [3 * 32768, 16384],
    ]);
  });
});

describe('readKeyRows', () => {
  it('takes the rows of every head and side', async () => {
    const shape = [2, 2, 5, 3, 2];
    const values = Float32Array.from({ length: 120 }, (_, i) => i);
    const { source } = tensor('BF16', shape, fromFloat32('BF16', values));
    const rows = await readKeyRows(source, { start: 1, end: 3 });
    const expected = [0, 1, 2, 3].flatMap((list) => [...values.slice(list * 30 + 6, list * 30 + 18)]);
    expect([...rows]).toEqual(expected);
  });

  it('takes keys without a rank', async () => {
    const values = Float32Array.from({ length: 24 }, (_, i) => i);
    const { source } = tensor('F32', [1, 2, 4, 3], fromFloat32('F32', values));
    expect([...(await readKeyRows(source, { start: 3, end: 4 }))]).toEqual([9, 10, 11, 21, 22, 23]);
  });

  it.each([NaN, Infinity, -Infinity])('refuses a key of %s and says where', async (bad) => {
    const values = new Float32Array(2 * 2 * 5 * 3 * 2);
    values[3 * 30 + 4 * 6 + 1] = bad; // head 1, columns, key 4
    const { source } = tensor('F32', [2, 2, 5, 3, 2], fromFloat32('F32', values));
    await expect(readKeyRows(source, { start: 2, end: 5 })).rejects.toMatchObject({
      code: 'CHECKPOINT_INVALID',
      message: `tensor t, head 1, column side, key 4 holds ${bad}; expected finite keys; export or copy the checkpoint again`,
    });
    expect(await readKeyRows(source, { start: 2, end: 4 })).toHaveLength(48);
  });
});

describe('whole tensors', () => {
  it('reads floats over the edges of pieces', async () => {
    const values = Float32Array.from({ length: 5 * MIB }, (_, i) => i % 256);
    const { source, reads } = tensor('F16', [5, MIB], fromFloat32('F16', values));
    const progress: [byteCount: number, begun: number][] = [];
    const floats = await readFloats(source, (count) => progress.push([count, reads.length]));
    expect(floats.length).toBe(values.length);
    expect(floats.findIndex((value, i) => value !== values[i])).toBe(-1);
    expect(reads).toEqual([
      [0, 8 * MIB],
      [8 * MIB, 2 * MIB],
    ]);
    expect(progress).toEqual([
      [8 * MIB, 2], // the next piece is on its way
      [2 * MIB, 2],
    ]);
  });
});

describe('readShuffle', () => {
  const PIECE = 2 * MIB; // entries
  const LENGTH = PIECE + 3;
  const reversed = () => new BigInt64Array(LENGTH).map((_, i) => BigInt(LENGTH - 1 - i));
  const source = (stored: BigInt64Array) => tensor('I64', [stored.length], new Uint8Array(stored.buffer));

  it('reads a permutation over the edge of pieces', async () => {
    const { source: shuffle, reads } = source(reversed());
    const read = await readShuffle(shuffle, LENGTH);
    expect(read.findIndex((target, i) => target !== LENGTH - 1 - i)).toBe(-1);
    expect(reads).toEqual([
      [0, 16 * MIB],
      [16 * MIB, 24],
    ]);
  });

  it.each([
    [PIECE - 1, BigInt(LENGTH), `${LENGTH}; expected a permutation of 0 to ${LENGTH - 1}`],
    [PIECE, 4n, '4, which occurs twice; expected'],
    [LENGTH - 1, 2n ** 33n, '8589934592; expected'],
  ])('refuses entry %i = %i', async (at, value, reason) => {
    const stored = reversed();
    stored[at] = value;
    await expect(readShuffle(source(stored).source, LENGTH)).rejects.toMatchObject({
      code: 'CHECKPOINT_INVALID',
      message: expect.stringContaining(`t[${at}] is ${reason}`),
    });
  });

  it('fails as a read fails, also while the entries before it are refused', async () => {
    const { source: shuffle } = source(reversed());
    const short = (stored: TensorSource): TensorSource => ({
      ...stored,
      read: (first, byteCount) =>
        first === 0 ? stored.read(first, byteCount) : Promise.reject(new Error('got shorter')),
    });
    await expect(readShuffle(short(shuffle), LENGTH)).rejects.toThrow('got shorter');
    const stored = reversed();
    stored[1] = -1n;
    await expect(readShuffle(short(source(stored).source), LENGTH)).rejects.toThrow('t[1] is -1');
  });

  it('asserts the dtype and the length', async () => {
    const floats = tensor('F32', [2], new Uint8Array(8));
    await expect(readShuffle(floats.source, 2)).rejects.toThrow('t holds integers');
    await expect(readShuffle(source(new BigInt64Array(3)).source, 2)).rejects.toThrow('the shape of t');
  });
});

function range(count: number): fc.Arbitrary<Range> {
  return fc
    .tuple(fc.nat(count), fc.nat(count))
    .map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) }));
}

function tensor(
  dtype: DType,
  shape: number[],
  bytes: Uint8Array,
): { source: TensorSource; reads: [number, number][] } {
  const reads: [number, number][] = [];
  const read = async (first: number, byteCount: number): Promise<Uint8Array> => {
    reads.push([first, byteCount]);
    return bytes.slice(first, first + byteCount);
  };
  return { source: { name: 't', dtype, shape, file: null, read }, reads };
}
