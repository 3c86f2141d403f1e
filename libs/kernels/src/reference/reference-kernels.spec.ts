import fc from 'fast-check';
import { expect, it } from 'vitest';
import { memoryTensor } from '../memory-tensor.ts';
import { ReferenceKeys } from './load-keys.ts';
import { createReferenceKernels } from './reference-kernels.ts';

const kernels = createReferenceKernels();
const float = fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 });

const floats = (length: number) =>
  fc.array(float, { minLength: length, maxLength: length }).map((values) => Float32Array.from(values));

it('rounds every product once: the f64 sum, even columns apart from odd ones', async () => {
  const sizes = fc.record({
    rows: fc.integer({ min: 1, max: 40 }),
    columns: fc.integer({ min: 1, max: 9 }),
    rowCount: fc.integer({ min: 0, max: 4 }),
  });
  const inputs = sizes.chain(({ rows, columns, rowCount }) =>
    fc.record({
      size: fc.constant({ rows, columns, rowCount }),
      weight: floats(rows * columns),
      x: floats(rowCount * columns),
      bias: fc.option(floats(rows)),
    }),
  );
  await fc.assert(
    fc.asyncProperty(inputs, async ({ size, weight, x, bias }) => {
      const { rows, columns, rowCount } = size;
      const matrix = await kernels.loadMatrix(memoryTensor('w', 'F32', [rows, columns], weight));
      const want = Float32Array.from({ length: rowCount * rows }, (_, i) => {
        const [r, row] = [Math.floor(i / rows), i % rows];
        const sums = [0, 0];
        for (let c = 0; c < columns; c++) sums[c % 2] += weight[row * columns + c] * x[r * columns + c];
        return sums[0] + sums[1] + (bias?.[row] ?? 0);
      });
      expect(await kernels.matmul(matrix, x, rowCount, bias)).toEqual(want);
    }),
  );
});

it('pools any ragged batch like a sum over its entries, and leaves its arguments alone', async () => {
  const [tableRows, width, coreCount, blockCount] = [9, 6, 3, 2];
  const entry = fc.record({
    slot: fc.nat(tableRows - 1),
    block: fc.nat(blockCount - 1),
    weight: floats(coreCount),
  });
  const batches = fc.array(fc.array(entry, { maxLength: 5 }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(floats(tableRows * width), batches, async (values, tokens) => {
      const table = await kernels.loadValues(
        memoryTensor('v', 'F32', [tableRows, width], values),
        { start: 0, end: tableRows },
        { start: 0, end: width },
      );
      const entries = tokens.flat();
      const request = {
        ...{ tokenCount: tokens.length, blockCount, coreCount, pre: null },
        entryStart: Uint32Array.from([0, ...tokens.map((_, t) => tokens.slice(0, t + 1).flat().length)]),
        slot: Uint32Array.from(entries, ({ slot }) => slot),
        block: Uint8Array.from(entries, ({ block }) => block),
        weight: Float32Array.from(entries.flatMap(({ weight }) => [...weight])),
      };
      const before = structuredClone(request);
      const want = Float32Array.from({ length: tokens.length * blockCount * width }, (_, i) => {
        const [column, cell] = [i % width, Math.floor(i / width)];
        const core = Math.floor(column / (width / coreCount));
        return tokens[Math.floor(cell / blockCount)]
          .filter(({ block }) => block === cell % blockCount)
          .reduce((sum, { slot, weight }) => sum + weight[core] * values[slot * width + column], 0);
      });
      expect(await kernels.pool(table, request)).toEqual(want);
      expect(request).toEqual(before);
    }),
  );
});

it('keeps tables as wide as they are stored, and nothing after the release', async () => {
  const range = { start: 1, end: 3 };
  const zeros = new Float32Array(2 * 2 * 4 * 4);
  const f32 = await kernels.loadValues(memoryTensor('v', 'F32', [8, 8], zeros), range, range);
  const f16 = await kernels.loadValues(memoryTensor('v', 'F16', [8, 8], zeros), range, range);
  const bf16 = await kernels.loadValues(memoryTensor('v', 'BF16', [8, 8], zeros), range, range);
  const matrix = await kernels.loadMatrix(memoryTensor('w', 'BF16', [8, 8], zeros));
  const keys = await kernels.loadKeys(memoryTensor('k', 'F16', [2, 2, 4, 4], zeros), range, null);
  const handles = [f32, f16, bf16, matrix, keys];
  expect(handles.map((handle) => handle.residentBytes)).toEqual([16, 8, 8, 256, 2 * 2 * 2 * 4 * 4]);
  for (const handle of handles) handle.release();
  for (const handle of handles) handle.release();
  expect(handles.map((handle) => handle.residentBytes)).toEqual([0, 0, 0, 0, 0]);
  await expect(kernels.matmul(matrix, new Float32Array(8), 1, null)).rejects.toThrow(
    'a handle is not used after its release',
  );
});

it('describes what it loaded', async () => {
  const columns = { start: 2, end: 5 };
  const rows = { start: 4, end: 6 };
  const values = await kernels.loadValues(
    memoryTensor('v', 'F32', [8, 8], new Float32Array(64)),
    rows,
    columns,
  );
  expect(values).toMatchObject({ rows, columns, fullWidth: 8 });
  const keys = await kernels.loadKeys(
    memoryTensor('k', 'F32', [2, 2, 8, 3, 4], new Float32Array(2 * 2 * 8 * 3 * 4)),
    rows,
    null,
  );
  expect(keys).toMatchObject({ headCount: 2, range: rows, width: 3, rank: 4 });
  expect(await kernels.loadMatrix(memoryTensor('w', 'F32', [3, 2], new Float32Array(6)))).toMatchObject({
    rows: 3,
    columns: 2,
  });
});

it('normalises keys over their features and rounds them once (SEMANTICS 1.1)', async () => {
  const source = memoryTensor('k', 'F32', [1, 2, 1, 2], [3, 4, 1, 5]);
  const [weight, bias] = [Float32Array.of(2, 1), Float32Array.of(0, 0.5)];
  const range = { start: 0, end: 1 };
  const rms = await kernels.loadKeys(source, range, { kind: 'rms', eps: 0.5, weight, bias: null });
  const layer = await kernels.loadKeys(source, range, { kind: 'layer', eps: 5, weight, bias });
  expect(elementsOf(rms)).toEqual(
    Float32Array.of(6 / Math.sqrt(13), 4 / Math.sqrt(13), 2 / Math.sqrt(13.5), 5 / Math.sqrt(13.5)),
  );
  expect(elementsOf(layer)).toEqual(
    Float32Array.of(-1 / Math.sqrt(5.25), 0.5 + 0.5 / Math.sqrt(5.25), -4 / 3, 0.5 + 2 / 3),
  );
});

it('takes only its own handles', async () => {
  const foreign = { residentBytes: 0, release: () => {} };
  const range = { start: 0, end: 1 };
  await expect(
    kernels.matmul({ ...foreign, rows: 1, columns: 1, activations: 'F32' }, Float32Array.of(1), 1, null),
  ).rejects.toThrow('a matrix is used by the backend that loaded it');
  const table = { ...foreign, rows: range, columns: range, fullWidth: 1 };
  const empty = { tokenCount: 0, entryStart: Uint32Array.of(0), slot: new Uint32Array(0) };
  await expect(kernels.dotRows(table, { ...empty, query: new Float32Array(0) })).rejects.toThrow(
    'a value table is used by the backend that loaded it',
  );
  const keys = { ...foreign, headCount: 1, range, width: 1, rank: 1 };
  await expect(
    kernels.scoreKeys(keys, {
      ...{ query: new Float32Array(0), tokenCount: 0, groupCount: 1, groupOfHead: Uint32Array.of(0), k: 1 },
      collapse: { row: Float32Array.of(1), column: Float32Array.of(1) },
    }),
  ).rejects.toThrow('a key table is used by the backend that loaded it');
});

it('names the slot or block that is out of range', async () => {
  const table = await kernels.loadValues(
    memoryTensor('v', 'F32', [8, 1], new Float32Array(8)),
    { start: 2, end: 6 },
    { start: 0, end: 1 },
  );
  const request = {
    ...{
      tokenCount: 1,
      entryStart: Uint32Array.of(0, 1),
      weight: Float32Array.of(1),
      coreCount: 1,
      pre: null,
    },
    blockCount: 2,
  };
  await expect(
    kernels.pool(table, { ...request, slot: Uint32Array.of(6), block: Uint8Array.of(0) }),
  ).rejects.toMatchObject({
    code: 'SLOT_OUT_OF_RANGE',
    retriable: false,
    message:
      'slot 6 was asked for; expected a slot of 2 to 5; check that both sides hold the same plan and model',
  });
  await expect(
    kernels.pool(table, { ...request, slot: Uint32Array.of(2), block: Uint8Array.of(2) }),
  ).rejects.toMatchObject({
    code: 'BLOCK_OUT_OF_RANGE',
    message: 'block 2 was asked for; expected a block below 2; check that both sides hold the same model',
  });
});

function elementsOf(handle: unknown): Float32Array {
  if (!(handle instanceof ReferenceKeys)) throw new Error('not keys of the reference');
  return handle.elements;
}
