import { createReferenceKernels, type Kernels, memoryTensor, type SelectRequest } from '@ultramem/kernels';
import { SIDES } from '@ultramem/ultramem';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createNativeKernels } from './native-kernels.ts';
import { probeNative } from './probe-native.ts';

const probe = probeNative();

/** A selection by its sizes and what makes it hard; every number in it follows from these. */
const problems = fc.record({
  seed: fc.integer({ min: 1, max: 1 << 30 }),
  headCount: fc.integer({ min: 1, max: 8 }),
  keyCount: fc.integer({ min: 1, max: 260 }),
  width: fc.integer({ min: 1, max: 96 }),
  rank: fc.integer({ min: 1, max: 4 }),
  tokenCount: fc.integer({ min: 0, max: 20 }),
  k: fc.integer({ min: 1, max: 60 }),
  coreCount: fc.integer({ min: 1, max: 3 }),
  hasCores: fc.boolean(),
  norm: fc.constantFrom('none' as const, 'rms' as const, 'layer' as const),
  keys: fc.constantFrom('any' as const, 'repeated' as const, 'one bit apart' as const, 'few values' as const),
  dtype: fc.constantFrom('F32' as const, 'F32' as const, 'BF16' as const, 'F16' as const),
  queryExponent: fc.constantFrom(0, 0, 0, -60, 60, -149),
});
type Problem = typeof problems extends fc.Arbitrary<infer T> ? T : never;

describe.skipIf(!probe.available)('native selection', () => {
  const reference = createReferenceKernels();
  let kernels: Kernels;
  beforeAll(() => {
    kernels = createNativeKernels({ threads: 2 });
  });
  afterAll(() => kernels.close());

  it('gives the bits of the reference, whatever the keys', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(problems, async (problem) => {
        const want = await answers(reference, problem);
        const got = await answers(kernels, problem);
        expect(got).toEqual(want);
      }),
      { numRuns: 80 },
    );
  });

  it('folds the keys anew when the collapse vectors change', async () => {
    const problem: Problem = {
      ...{ seed: 5, headCount: 2, keyCount: 90, width: 24, rank: 2, tokenCount: 3, k: 7, coreCount: 2 },
      ...{ hasCores: true, norm: 'rms', keys: 'any', dtype: 'F32', queryExponent: 0 },
    };
    const { keys, norm, request } = inputs(problem);
    const others = { row: request.collapse.column, column: request.collapse.row };
    const [ours, theirs] = [await load(kernels), await load(reference)];
    for (const collapse of [request.collapse, others, request.collapse])
      expect(await kernels.select(ours, { ...request, collapse })).toEqual(
        await reference.select(theirs, { ...request, collapse }),
      );
    ours.release();
    function load(backend: Kernels) {
      return backend.loadKeys(keys, { start: 0, end: problem.keyCount }, norm);
    }
  });
});

/** Everything that the three methods say, failures included. Array buffers are compared bit by bit, so that -0 is not 0. */
async function answers(kernels: Kernels, problem: Problem) {
  const { keys, norm, request } = inputs(problem);
  const handle = await kernels.loadKeys(keys, { start: 0, end: problem.keyCount }, norm);
  const { cores, coreCount, addressing, ...score } = request;
  const bits = (result: object) =>
    Object.values(result).map((value) =>
      ArrayBuffer.isView(value)
        ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')
        : value,
    );
  const candidates = await kernels.scoreKeys(handle, score).catch((error: { code: string }) => error.code);
  const selection = await kernels.select(handle, request).then(
    ({ selection, addresses }) => [...bits(selection), ...bits(addresses)],
    (error: { code: string }) => error.code,
  );
  handle.release();
  if (typeof candidates === 'string') return { candidates, selection };
  const { headCount, keyCount, rank } = problem;
  const grid = await kernels.selectGrid({
    ...{ candidates, headCount, keyCount, cores, coreCount },
    rank: problem.hasCores ? rank : 1,
  });
  return { candidates: bits(candidates), selection, grid: bits(grid) };
}

function inputs(problem: Problem) {
  const { headCount, keyCount, width, tokenCount, hasCores } = problem;
  const rank = hasCores ? problem.rank : 1;
  const coreCount = hasCores ? problem.coreCount : 1;
  const random = numbers(problem.seed);
  const array = (length: number, scale = 1) => Float32Array.from({ length }, () => random() * scale);
  const rowLength = width * rank;
  const rows = array(headCount * SIDES * keyCount * rowLength);
  if (problem.keys === 'few values') rows.set(rows.map(Math.round));
  const wholes = new Uint32Array(rows.buffer);
  const distinct = 1 + (problem.seed % keyCount);
  if (problem.keys === 'repeated' || problem.keys === 'one bit apart')
    for (let row = 0; row < headCount * SIDES * keyCount; row++) {
      const original = row - (row % keyCount) + ((row % keyCount) % distinct);
      wholes.copyWithin(row * rowLength, original * rowLength, (original + 1) * rowLength);
      if (problem.keys === 'one bit apart') wholes[row * rowLength + (row % rowLength)] ^= row & 1;
    }
  const request: SelectRequest = {
    query: array(tokenCount * SIDES * width, 2 ** problem.queryExponent),
    ...{ tokenCount, groupCount: 1, groupOfHead: new Uint32Array(headCount), k: problem.k },
    collapse: { row: array(headCount * rank), column: array(headCount * rank) },
    cores: hasCores ? array(coreCount * headCount * rank * rank) : null,
    coreCount,
    addressing: { geometry: oneBlock(keyCount), layer: 0, shuffle: null },
  };
  const norm =
    problem.norm === 'none' ? null : { kind: problem.norm, eps: 1e-5, weight: array(width), bias: null };
  return {
    keys: memoryTensor('keys', problem.dtype, [headCount, SIDES, keyCount, width, rank], rows),
    norm,
    request,
  };
}

/** A seeded source of numbers between -2 and 2. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 30;
  };
}

/** One block of every virtual index. */
function oneBlock(keyCount: number) {
  const rows = keyCount ** 2;
  return { windowRows: rows, windowStride: 0, tableRows: rows, virtualBlocks: 1, poolBlocks: 1 };
}
