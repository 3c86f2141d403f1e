import type { TensorSource } from '@ultramem/checkpoint';
import { OperatingError } from '@ultramem/invariant';
import { expect, it } from 'vitest';
import { kernelConformance } from '../conformance.ts';
import type { Kernels } from '../kernels.ts';
import { createReferenceKernels } from '../reference/reference-kernels.ts';

const good = createReferenceKernels();
const slightly = (values: Float32Array) => values.map((value) => value * 1.0001);

/** Backends with one defect each, and the start of a case's name that must find it. */
const DEFECTS: [string, string, Partial<Kernels>][] = [
  [
    'a product with a relative error of 1e-4',
    'matmul: 3 rows',
    { matmul: async (...args) => slightly(await good.matmul(...args)) },
  ],
  [
    'a forgotten bias',
    'matmul: 3 rows',
    { matmul: (weight, x, rowCount) => good.matmul(weight, x, rowCount, null) },
  ],
  [
    'a batch that is rounded differently',
    'matmul: a row has the same bits',
    {
      matmul: async (w, x, n, b) =>
        (await good.matmul(w, x, n, b)).map((value) => (n > 1 ? value + value * 2 ** -23 : value)),
    },
  ],
  [
    'denormals flushed to zero',
    'pool: denormal values',
    { loadValues: (source, rows, columns) => good.loadValues(flushed(source), rows, columns) },
  ],
  [
    'the whole buffer instead of the view',
    'matmul: 1 rows by a F32',
    { matmul: (weight, x, n, b) => good.matmul(weight, new Float32Array(x.buffer, 0, x.length), n, b) },
  ],
  [
    'a mean that is not taken away',
    'normalise: layer',
    { normalise: (norm, x, width) => good.normalise({ ...norm, kind: 'rms' }, x, width) },
  ],
  [
    'the other half as the gate',
    'feedForward: swiglu, whose second half',
    {
      feedForward: (layer, x, n) =>
        good.feedForward(
          layer,
          x.map((_, i) => x[(i + (x.length / n) * 0.5) % x.length]),
          n,
        ),
    },
  ],
  [
    'a forgotten second bias',
    'feedForward: relu of 9 rows',
    {
      feedForward: (layer, x, n) =>
        good.feedForward({ ...layer, outer: { ...layer.outer, bias: null } }, x, n),
    },
  ],
  ['a residual that is replaced', 'addInto: sums', { addInto: async (sum, addend) => sum.set(addend) }],
  [
    'forgotten alibi',
    'attend: alibi',
    { attend: (request) => good.attend({ ...request, alibiSlopes: null }) },
  ],
  [
    'positions counted from the first query',
    'attend: several new tokens',
    {
      attend: ({ sequences, ...rest }) =>
        good.attend({
          ...rest,
          sequences: sequences.map((sequence) => ({ ...sequence, keyCount: sequence.queryCount })),
        }),
    },
  ],
  [
    "every layer's window at the first row",
    'address: a window that goes on at the first row',
    { address: (request) => good.address({ ...request, layer: 0 }) },
  ],
  [
    "another layer's slots",
    'select: the grid of the candidates, bit for bit: rank 2',
    {
      select: (keys, request) =>
        good.select(keys, { ...request, addressing: { ...request.addressing, layer: 0 } }),
    },
  ],
  [
    'key numbers counted within the range',
    'scoreKeys: a range in the middle',
    {
      scoreKeys: async (keys, request) => {
        const answer = await good.scoreKeys(keys, request);
        return { ...answer, index: answer.index.map((key) => key - keys.range.start) };
      },
    },
  ],
  [
    'ties in the other order',
    'scoreKeys: equal scores',
    {
      scoreKeys: async (keys, request) => {
        const answer = await good.scoreKeys(keys, request);
        const index = answer.index.slice();
        index.set([answer.index[1], answer.index[0]]);
        return { ...answer, index };
      },
    },
  ],
  [
    'a forgotten norm',
    'scoreKeys: rank 2',
    { loadKeys: (source, range) => good.loadKeys(source, range, null) },
  ],
  [
    'a NaN that is taken for a score',
    'scoreKeys: a NaN',
    {
      scoreKeys: (keys, request) =>
        good.scoreKeys(keys, { ...request, query: request.query.map((x) => x || 0) }),
    },
  ],
  [
    'a softmax over the whole token',
    'selectGrid: Memory+',
    {
      selectGrid: async (request) => {
        const answer = await good.selectGrid(request);
        return request.cores
          ? answer
          : { ...answer, scores: answer.scores.map((score) => score / request.headCount) };
      },
    },
  ],
  [
    'virtual indices of 32 bits',
    'selectGrid: virtual indices beyond',
    {
      selectGrid: async (request) => {
        const answer = await good.selectGrid(request);
        return { ...answer, virtualIndex: answer.virtualIndex.map((z) => z >>> 0) };
      },
    },
  ],
  [
    'cores that divide the slice instead of the width',
    'pool: a window of columns inside one core',
    {
      pool: (table, request) =>
        good.pool(table, {
          ...request,
          weight: request.weight.map((_, i) => request.weight[i - (i % request.coreCount)]),
        }),
    },
  ],
  [
    'pooled blocks that are summed',
    'pool: a F16 table',
    {
      pool: (table, request) => good.pool(table, { ...request, block: new Uint8Array(request.block.length) }),
    },
  ],
  [
    'a gate without its gelu',
    'pool: gated by gelu',
    {
      pool: (table, request) =>
        good.pool(table, { ...request, pre: request.pre && { ...request.pre, activation: false } }),
    },
  ],
  [
    'another code for a slot out of range',
    'pool: slots outside',
    {
      pool: (table, request) =>
        good.pool(table, request).catch(() => {
          throw new OperatingError('INTERNAL', 'a; b; c');
        }),
    },
  ],
  [
    'dot products of f32',
    'dotRows: parts',
    {
      dotRows: async (table, request) => (await good.dotRows(table, request)).map((dot) => dot * 1.0001),
    },
  ],
  [
    'parts that are added in f32',
    'mergePartials: a sum is rounded once',
    {
      mergePartials: async ([first, ...rest], size) => {
        let sum = await good.mergePartials([first], size);
        for (const part of rest) sum = await good.mergePartials([{ ...part, pooled: sum }, part], size);
        return sum;
      },
    },
  ],
  [
    'parts that are added in another order',
    'mergePartials: eleven row parts',
    { mergePartials: (parts, size) => good.mergePartials([...parts].reverse(), size) },
  ],
  [
    'a 0 for every token that a part lacks',
    'mergePartials: -0 beside a part',
    { mergePartials: async (parts, size) => (await good.mergePartials(parts, size)).map((sum) => sum + 0) },
  ],
  [
    'bf16 of which the rest is cut off',
    'packVectors: ties of bf16',
    {
      packVectors: (values, width, encoding) =>
        good.packVectors(
          new Float32Array(new Uint32Array(values.slice().buffer).map((word) => word & 0xffff0000).buffer),
          width,
          encoding,
        ),
    },
  ],
  [
    'ties to even',
    'packVectors: ties of int8 to int8',
    {
      // 2.4 goes to 2, where a tie to even goes too.
      packVectors: (values, width, encoding) =>
        good.packVectors(
          values.map((value) => (value === 2.5 ? 2.4 : value)),
          width,
          encoding,
        ),
    },
  ],
  [
    'blocks that go on in the next row',
    'packVectors: 5 rows of 65 to int8',
    { packVectors: (values, _, encoding) => good.packVectors(values, values.length, encoding) },
  ],
  [
    'numbers of int8 without their sign',
    'unpackVectors: any bytes of int8',
    {
      unpackVectors: async (...args) => (await good.unpackVectors(...args))?.map(Math.abs) ?? null,
    },
  ],
];

it.each(DEFECTS)('%s fails "%s"', async (_, caseName, defect) => {
  const found = kernelConformance().find(({ name }) => name.startsWith(caseName));
  expect(found).toBeDefined();
  await found!.run(good);
  await expect(found!.run({ ...good, ...defect })).rejects.toThrow('expected');
});

it('gives every case a name of its own', () => {
  const names = kernelConformance().map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});

/** A table whose denormal f32 elements read as zero. */
function flushed(source: TensorSource): TensorSource {
  return {
    ...source,
    read: async (first, byteCount) => {
      const words = new Uint32Array((await source.read(first, byteCount)).slice().buffer);
      return new Uint8Array(words.map((word) => ((word & 0x7f800000) === 0 ? 0 : word)).buffer);
    },
  };
}
