import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryDirectory } from './memory-directory.ts';
import { readFloats } from './read-tensor.ts';
import { openStoredTensors } from './stored-tensors.ts';
import type { DType } from './tensor-source.ts';
import { tuckerVectors } from './tucker-vectors.ts';

describe('tuckerVectors', () => {
  it.each(['v1_a', 'v1_b', 'v1_c'])('gives the reference vectors of %s', async (file) => {
    const { floats, shape, has } = await vectorFile(file);
    const [headCount, rank] = shape('tucker_core.0') as [number, number];
    const coreSum = await floats('tucker_core.0');
    for (let core = 1; has(`tucker_core.${core}`); core++)
      (await floats(`tucker_core.${core}`)).forEach((value, i) => {
        coreSum[i] += value;
      });
    const previous = {
      row: await floats('vec.prev_tucker_core_u'),
      column: await floats('vec.prev_tucker_core_v'),
    };
    const { row, column } = tuckerVectors({ coreSum, headCount, rank, previous });
    expectClose(row, await floats('vec.tucker_u'));
    expectClose(column, await floats('vec.tucker_v'));

    const zero = new Float32Array(headCount * rank);
    const raw = tuckerVectors({ coreSum, headCount, rank, previous: { row: zero, column: zero } });
    expectClose(raw.row, await floats('vec.raw_svd_u'));
    expectClose(raw.column, await floats('vec.raw_svd_v'));
  });

  it('finds the direction that a matrix stretches most, for every small rank', () => {
    const entry = fc.double({ min: -1, max: 1, noNaN: true });
    const matrix = fc
      .integer({ min: 1, max: 5 })
      .chain((rank) =>
        fc.tuple(
          fc.constant(rank),
          fc.array(entry, { minLength: rank * rank, maxLength: rank * rank }),
          fc.array(entry, { minLength: rank, maxLength: rank }),
        ),
      );
    fc.assert(
      fc.property(matrix, ([rank, m, x]) => {
        const zero = new Float32Array(rank);
        const { row, column } = tuckerVectors({
          coreSum: m,
          headCount: 1,
          rank,
          previous: { row: zero, column: zero },
        });
        const times = (v: ArrayLike<number>) =>
          Array.from({ length: rank }, (_, i) =>
            m.slice(i * rank, (i + 1) * rank).reduce((sum, e, j) => sum + e * v[j], 0),
          );
        const image = times(column);
        const sigma = Math.hypot(...image);
        expect(Math.hypot(...row)).toBeCloseTo(1, 5);
        expect(Math.hypot(...column)).toBeCloseTo(1, 5);
        for (let i = 0; i < rank; i++) expect(image[i]).toBeCloseTo(sigma * row[i], 5);
        expect(Math.hypot(...times(x))).toBeLessThanOrEqual(sigma * Math.hypot(...x) + 1e-5);
      }),
    );
  });

  it('turns each head towards its previous vectors', () => {
    const diagonal = [2, 0, 0, 1, 2, 0, 0, 1];
    const previous = { row: Float32Array.of(1, 0, -1, 0), column: Float32Array.of(0.9, 0, -1, 0) };
    const { row, column } = tuckerVectors({ coreSum: diagonal, headCount: 2, rank: 2, previous });
    expect([...row]).toEqual([1, 0, -1, 0].map((value) => expect.closeTo(value)));
    expect([...column]).toEqual([1, 0, -1, 0].map((value) => expect.closeTo(value)));
  });

  it('takes unit vectors for a matrix of zeros', () => {
    const zero = new Float32Array(2);
    const { row, column } = tuckerVectors({
      coreSum: [0, 0, 0, 0],
      headCount: 1,
      rank: 2,
      previous: { row: zero, column: zero },
    });
    expect([Math.abs(row[0]), Math.abs(column[0])]).toEqual([1, 1]);
  });
});

function expectClose(found: Float32Array, expected: Float32Array): void {
  expect([...found]).toEqual([...expected].map((value) => expect.closeTo(value, 5)));
}

async function vectorFile(name: string) {
  const bytes = await readFile(new URL(`../../../test/vectors/${name}.safetensors`, import.meta.url));
  const tensors = (await openStoredTensors(
    memoryDirectory(name, new Map([['model.safetensors', bytes]])),
    [],
  ))!;
  return {
    has: (tensor: string) => tensors.has(tensor),
    shape: (tensor: string) => tensors.get(tensor)!.entry.shape,
    floats: (tensor: string) => {
      const { entry, read } = tensors.get(tensor)!;
      return readFloats({ name: tensor, dtype: entry.dtype as DType, shape: entry.shape, file: null, read });
    },
  };
}
