import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DType, rowByteCount, type TensorSource } from '@ultramem/checkpoint';
import { createRandom } from '@ultramem/environment';
import { createReferenceKernels, type Kernels, memoryTensor, type PoolRequest } from '@ultramem/kernels';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createNativeKernels } from './native-kernels.ts';
import { probeNative } from './probe-native.ts';

const DTYPES: DType[] = ['F32', 'BF16', 'F16', 'INT8_BLOCK64'];
const ROWS = 60;
const random = createRandom(7);
const below = (count: number) => random.uint32() % count;
const normals = (length: number) => Float32Array.from({ length }, () => random.normal());

describe.skipIf(!probeNative().available)('native pooling', () => {
  const reference = createReferenceKernels();
  let kernels: Kernels;
  let directory: string;
  beforeAll(async () => {
    kernels = createNativeKernels({ threads: 2 });
    directory = await mkdtemp(join(tmpdir(), 'ultramem-'));
  });
  afterAll(async () => {
    await kernels.close();
    await rm(directory, { recursive: true });
  });

  /** The same tensor in a file, behind `offset` other bytes; nothing may read it. */
  async function inFile(source: TensorSource, offset: number): Promise<TensorSource> {
    const [rows, width] = source.shape as [number, number];
    const bytes = await source.read(0, rows * rowByteCount(source.dtype, { start: 0, end: width }));
    const path = join(directory, `${source.dtype}-${offset}`);
    await writeFile(path, Buffer.concat([Buffer.alloc(offset, 0xff), bytes]));
    const read = () => Promise.reject(new Error('a mapped table is not read'));
    return { ...source, file: { path, offset }, read };
  }

  function requestOf(tokenCount: number, rowStart: number, rowEnd: number, coreCount: number): PoolRequest {
    const entryStart = new Uint32Array(tokenCount + 1);
    for (let t = 0; t < tokenCount; t++) entryStart[t + 1] = entryStart[t] + below(40);
    const count = entryStart[tokenCount];
    const blockCount = 1 + below(5);
    return {
      ...{ tokenCount, entryStart, blockCount, coreCount, pre: null },
      slot: Uint32Array.from({ length: count }, () => rowStart + below(rowEnd - rowStart)),
      block: Uint8Array.from({ length: count }, () => below(blockCount)),
      weight: normals(count * coreCount),
    };
  }

  it.each(DTYPES)('has the bits of the reference, mapped or read: %s', async (dtype) => {
    for (let round = 0; round < 12; round++) {
      const coreCount = 1 + below(3);
      const width = coreCount * (1 + below(70));
      const columns = round % 3 === 0 ? { start: below(width), end: width } : { start: 0, end: width };
      const rows = { start: below(20), end: 30 + below(30) };
      const source = memoryTensor('table', dtype, [ROWS, width], normals(ROWS * width));
      const preWidth = 1 + below(90);
      const preSource = memoryTensor('pre', dtype, [ROWS, preWidth], normals(ROWS * preWidth));
      const preColumns = { start: 0, end: preWidth };
      const request = requestOf(below(12), rows.start, rows.end, coreCount);
      const query = normals(request.tokenCount * preWidth);
      const answers: [Float32Array, Float64Array][] = [];
      for (const [backend, stored, preStored] of [
        [reference, source, preSource],
        [kernels, source, preSource],
        [kernels, await inFile(source, below(9000)), await inFile(preSource, 9000 + below(9000))],
      ] as const) {
        const values = await backend.loadValues(stored, rows, columns);
        const pre = await backend.loadValues(preStored, rows, preColumns);
        expect(values.residentBytes).toBe((rows.end - rows.start) * rowByteCount(dtype, columns));
        const gate = round % 2 === 0 ? null : { table: pre, query, activation: round % 4 === 1 };
        answers.push([
          await backend.pool(values, { ...request, pre: gate }),
          await backend.dotRows(pre, { ...request, query }),
        ]);
        values.release();
        expect(values.residentBytes).toBe(0);
        pre.release();
      }
      for (const answer of answers.slice(1)) expect(answer).toEqual(answers[0]);
    }
  });

  it('is the same on several threads, for many tokens and for one with many entries', async () => {
    const width = 200;
    const source = memoryTensor('table', 'F32', [ROWS, width], normals(ROWS * width));
    for (const tokenCount of [1, 100]) {
      const request = requestOf(tokenCount, 0, ROWS, 2);
      if (tokenCount === 1) {
        const length = 3000;
        request.entryStart[1] = length;
        request.slot = Uint32Array.from({ length }, () => below(ROWS));
        request.block = Uint8Array.from({ length }, () => below(request.blockCount));
        request.weight = normals(2 * length);
      }
      const all = [
        { start: 0, end: ROWS },
        { start: 0, end: width },
      ] as const;
      expect(await kernels.pool(await kernels.loadValues(source, ...all), request)).toEqual(
        await reference.pool(await reference.loadValues(source, ...all), request),
      );
    }
  });

  it('activates gates as the reference does', async () => {
    const tokenCount = 20_000;
    const table = memoryTensor('table', 'F32', [1, 1], [1]);
    const request: PoolRequest = {
      ...{ tokenCount, blockCount: 1, coreCount: 1, pre: null },
      entryStart: Uint32Array.from({ length: tokenCount + 1 }, (_, i) => i),
      slot: new Uint32Array(tokenCount),
      block: new Uint8Array(tokenCount),
      weight: new Float32Array(tokenCount).fill(1),
    };
    const query = Float32Array.from({ length: tokenCount }, (_, i) =>
      i < 10 ? [0, -0, 1e-40, 2.5, 6, -6, 8.5, -8.4, 1e30, -1e30][i] : 4 * random.normal(),
    );
    const one = { start: 0, end: 1 };
    const gated = async (backend: Kernels) => {
      const values = await backend.loadValues(table, one, one);
      return backend.pool(values, { ...request, pre: { table: values, query, activation: true } });
    };
    expect(await gated(kernels)).toEqual(await gated(reference));
  });

  it('tells a file that changes under its map', async () => {
    const source = await inFile(memoryTensor('table', 'F32', [4000, 8], normals(32_000)), 24);
    const rows = { start: 0, end: 4000 };
    const columns = { start: 0, end: 8 };
    const values = await kernels.loadValues(source, rows, columns);
    const request = requestOf(3, 0, 4000, 1);
    await kernels.pool(values, request);
    await truncate(source.file?.path ?? '', 5000);
    const failure = expect.objectContaining({ name: 'OperatingError', code: 'CHECKPOINT_READ_FAILED' });
    await expect(kernels.pool(values, request)).rejects.toEqual(failure);
    await expect(kernels.dotRows(values, { ...request, query: new Float32Array(24) })).rejects.toEqual(
      failure,
    );
    await expect(kernels.loadValues(source, rows, columns)).rejects.toEqual(failure);
  });
});
