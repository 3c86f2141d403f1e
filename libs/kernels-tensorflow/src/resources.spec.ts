import { type Kernels, memoryTensor } from '@ultramem/kernels';
import { beforeAll, describe, expect, it } from 'vitest';
import { numbers } from '../test/numbers.ts';
import { type Binding, loadBinding, whyAbsent } from './binding.ts';
import { createTensorflowKernels } from './tensorflow-kernels.ts';
import { TYPE, withTensors } from './tensors.ts';

const absent = whyAbsent();
/** As `gpu:0`, to run these cases on a graphics card. */
const device = process.env.ULTRAMEM_TENSORFLOW_DEVICE ?? 'cpu';
const MIB = 2 ** 20;
const LOOKUPS = 10_000;

describe.skipIf(absent !== null)(
  `what TensorFlow keeps${absent === null ? '' : ` (skipped: ${absent.remedy})`}`,
  () => {
    const { normals } = numbers(8);
    let kernels: Kernels;
    let binding: Binding;
    beforeAll(async () => {
      kernels = await createTensorflowKernels({ device });
      binding = loadBinding(null);
    });

    it(`is the same after ${LOOKUPS} lookups, a tenth of which fail`, async () => {
      const [heads, keyCount, width, rows, columns] = [2, 64, 16, 512, 256];
      const geometry = {
        ...{ windowRows: keyCount ** 2, windowStride: 0, tableRows: keyCount ** 2 },
        ...{ virtualBlocks: 1, poolBlocks: 1 },
      };
      const keys = await kernels.loadKeys(
        memoryTensor('keys', 'F32', [heads, 2, keyCount, width], normals(heads * 2 * keyCount * width)),
        { start: 0, end: keyCount },
        null,
      );
      const values = await kernels.loadValues(
        memoryTensor('values', 'BF16', [rows, columns], normals(rows * columns)),
        { start: 0, end: rows },
        { start: 0, end: columns },
      );
      const score = {
        ...{
          query: normals(2 * width),
          tokenCount: 1,
          groupCount: 1,
          groupOfHead: new Uint32Array(heads),
          k: 8,
        },
        collapse: { row: normals(heads), column: normals(heads) },
      };
      const lookUp = async (i: number): Promise<void> => {
        const chosen = await kernels.select(keys, {
          ...{ ...score, cores: normals(heads), coreCount: 1 },
          addressing: { geometry, layer: 0, shuffle: null },
        });
        const { selection, addresses } = chosen;
        const slot = addresses.slot.map((row) => row % rows);
        if (i % 10 === 9) slot[3] = rows;
        const pooling = kernels.pool(values, {
          ...{
            tokenCount: 1,
            entryStart: Uint32Array.of(0, slot.length),
            slot,
            block: new Uint8Array(slot.length),
          },
          ...{ blockCount: 1, weight: selection.scores, coreCount: 1, pre: null },
        });
        if (i % 10 === 9) await expect(pooling).rejects.toMatchObject({ code: 'SLOT_OUT_OF_RANGE' });
        else await pooling;
      };
      for (let i = 0; i < 500; i++) await lookUp(i);
      const before = { tensors: binding.getNumOfTensors(), bytes: process.memoryUsage.rss() };
      for (let i = 0; i < LOOKUPS; i++) await lookUp(i);
      expect(binding.getNumOfTensors()).toBe(before.tensors);
      // One tensor of a lookup's smallest result, kept each time, would be 10 MB; its gathered rows 330 MB.
      expect(process.memoryUsage.rss() - before.bytes).toBeLessThan(64 * MIB);
      keys.release();
      values.release();
      expect(binding.getNumOfTensors()).toBe(before.tensors - 3); // keys, folded keys, the table
    }, 120_000);

    it('is given back when tables are released', async () => {
      const [rows, columns] = [64_000, 256]; // 64 MB
      const source = memoryTensor('values', 'F32', [rows, columns], normals(rows * columns));
      const tensors = binding.getNumOfTensors();
      const load = () => kernels.loadValues(source, { start: 0, end: rows }, { start: 0, end: columns });
      (await load()).release();
      const before = process.memoryUsage.rss();
      for (let i = 0; i < 8; i++) {
        const table = await load();
        expect(table.residentBytes).toBe(rows * columns * 4);
        table.release();
        expect(table.residentBytes).toBe(0);
      }
      expect(binding.getNumOfTensors()).toBe(tensors);
      expect(process.memoryUsage.rss() - before).toBeLessThan(192 * MIB); // three tables of eight
    }, 120_000);

    it('is not more after a table that cannot be read or is too large, and an operation that fails', async () => {
      const tensors = binding.getNumOfTensors();
      const source = memoryTensor('values', 'F32', [4, 2], normals(8));
      const failing = { ...source, read: () => Promise.reject(new Error('the disk is gone')) };
      const loading = kernels.loadValues(failing, { start: 0, end: 4 }, { start: 0, end: 2 });
      await expect(loading).rejects.toThrow('the disk is gone');
      expect(() =>
        withTensors(binding, (made) =>
          made.matmul(TYPE.F32, made.f32([2, 3], normals(6)), made.f32([2, 3], normals(6)), false),
        ),
      ).toThrow();
      expect(binding.getNumOfTensors()).toBe(tensors);
    });
  },
);
