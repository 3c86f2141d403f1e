import type { DType } from '@ultramem/checkpoint';
import { createReferenceKernels, type Kernels, memoryTensor, type PoolRequest } from '@ultramem/kernels';
import { beforeAll, describe, expect, it } from 'vitest';
import { numbers } from '../test/numbers.ts';
import { whyAbsent } from './binding.ts';
import { createTensorflowKernels } from './tensorflow-kernels.ts';

const absent = whyAbsent();
/** As `gpu:0`, to run these cases on a graphics card. */
const device = process.env.ULTRAMEM_TENSORFLOW_DEVICE ?? 'cpu';
const { below, normals } = numbers(5);

/**
 * Numbers whose products are huge, cancel each other and leave a rest that the order of the sum decides about: with any other order than
 * the reference's, and without its correction, the last bits differ.
 */
function cancelling(rows: number, width: number): Float32Array {
  const values = normals(rows * width);
  for (let row = 0; row < rows; row++)
    for (let c = 0; c + 1 < width; c += 5) {
      const huge = 2 ** (20 + below(8)) * (1 + below(1000) / 1024);
      values[row * width + c] = huge;
      values[row * width + c + 1] = -huge;
    }
  return values;
}

describe.skipIf(absent !== null)(
  `bits of the reference${absent === null ? '' : ` (skipped: ${absent.remedy})`}`,
  () => {
    const reference = createReferenceKernels();
    let tensorflow: Kernels;
    beforeAll(async () => {
      tensorflow = await createTensorflowKernels({ device });
    });

    /** The same call on both backends. */
    async function both<T>(call: (kernels: Kernels) => Promise<T>): Promise<void> {
      expect(await call(tensorflow)).toEqual(await call(reference));
    }

    it('in products, where sums cancel too', async () => {
      for (const [rows, columns, rowCount] of [
        [70, 301, 40],
        [8, 1000, 3],
      ] as const) {
        const ones = new Float32Array(rowCount * columns).fill(1);
        for (const [weight, x, bias] of [
          [normals(rows * columns), normals(rowCount * columns), normals(rows)],
          [cancelling(rows, columns), ones, null],
          [cancelling(rows, columns), ones, normals(rows)],
        ] as const)
          await both(async (kernels) => {
            const matrix = await kernels.loadMatrix(memoryTensor('w', 'F32', [rows, columns], weight));
            return kernels.matmul(matrix, x, rowCount, bias);
          });
      }
    });

    it.each<[string, { dtype: DType; scale?: number; pre?: boolean; coreCount?: number; cancels?: boolean }]>(
      [
        ['F32', { dtype: 'F32' }],
        ['BF16, four cores', { dtype: 'BF16', coreCount: 4 }],
        ['F16, subnormal numbers among them', { dtype: 'F16', scale: 1e-5 }],
        ['block-scaled int8', { dtype: 'INT8_BLOCK64', coreCount: 4, pre: true }],
        ['gated by pre-values', { dtype: 'F32', pre: true }],
        ['sums that cancel', { dtype: 'F32', cancels: true }],
        ['denormal numbers', { dtype: 'BF16', scale: 1e-38 }],
      ],
    )(
      'in pooled vectors: %s',
      async (_, { dtype, scale = 1, pre = false, coreCount = 2, cancels = false }) => {
        const [rows, width, preWidth, tokenCount, blockCount] = [3000, 200, 130, 30, 3];
        const entryStart = new Uint32Array(tokenCount + 1);
        for (let t = 0; t < tokenCount; t++)
          entryStart[t + 1] = entryStart[t] + (t % 7 === 3 ? 0 : 100 + below(60));
        const entries = entryStart[tokenCount];
        // Down the columns: entries follow each other in the table.
        const along = cancelling(width, cancels ? rows : 0);
        const values = cancels
          ? Float32Array.from(along, (_value, i) => along[(i % width) * rows + Math.floor(i / width)])
          : normals(rows * width, scale);
        const preValues = normals(rows * preWidth);
        const first = Uint32Array.from({ length: tokenCount }, () => below(rows - 200));
        const slot = new Uint32Array(entries);
        for (let t = 0; t < tokenCount; t++)
          for (let e = entryStart[t]; e < entryStart[t + 1]; e++)
            slot[e] = cancels ? first[t] + e - entryStart[t] : below(rows);
        const request: PoolRequest = {
          ...{ tokenCount, entryStart, slot, blockCount, coreCount, pre: null },
          block: Uint8Array.from(slot, () => (cancels ? 0 : below(blockCount))),
          weight: cancels ? new Float32Array(entries * coreCount).fill(1) : normals(entries * coreCount),
        };
        const query = normals(tokenCount * preWidth);
        const whole = (kernels: Kernels, source: ReturnType<typeof memoryTensor>) =>
          kernels.loadValues(source, { start: 0, end: source.shape[0] }, { start: 0, end: source.shape[1] });
        await both(async (kernels) => {
          const table = await whole(kernels, memoryTensor('values', dtype, [rows, width], values));
          const preTable = await whole(kernels, memoryTensor('pre', dtype, [rows, preWidth], preValues));
          const dots = await kernels.dotRows(preTable, { tokenCount, entryStart, slot, query });
          const gate = pre ? { table: preTable, query, activation: true } : null;
          return { dots, pooled: await kernels.pool(table, { ...request, pre: gate }) };
        });
      },
    );

    it('in tables that arrive in pieces', async () => {
      const [rows, width] = [90_000, 128]; // 46 MB, written 32 MB at a time
      const values = Float32Array.from({ length: rows * width }, (_, i) => (i * 7) % 1013);
      const slot = Uint32Array.of(0, 65_535, 65_536, rows - 1);
      await both(async (kernels) => {
        const table = await kernels.loadValues(
          memoryTensor('values', 'F32', [rows, width], values),
          { start: 0, end: rows },
          { start: 0, end: width },
        );
        const pooled = await kernels.pool(table, {
          ...{
            tokenCount: 4,
            entryStart: Uint32Array.of(0, 1, 2, 3, 4),
            slot,
            block: new Uint8Array(4),
            blockCount: 1,
          },
          ...{ weight: new Float32Array(4).fill(1), coreCount: 1, pre: null },
        });
        expect(table.residentBytes).toBe(rows * width * 4);
        table.release();
        return pooled;
      });
    });
  },
);
