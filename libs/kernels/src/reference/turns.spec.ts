import { createRandom } from '@ultramem/environment';
import { expect, it } from 'vitest';
import { memoryTensor } from '../memory-tensor.ts';
import { createReferenceKernels } from './reference-kernels.ts';

it('lets the event loop turn in the middle of a long product, and computes the same', async () => {
  const random = createRandom(1);
  const numbers = (length: number) => Float32Array.from({ length }, () => random.normal());
  const [rows, columns, batch] = [512, 512, 512]; // 134 million products
  const source = memoryTensor('w', 'F32', [rows, columns], numbers(rows * columns));
  const x = numbers(batch * columns);
  let turns = 0;
  const pausing = createReferenceKernels(async () => {
    turns++;
  });
  const plain = createReferenceKernels();
  const result = await pausing.matmul(await pausing.loadMatrix(source), x, batch, null);
  expect(turns).toBe(4);
  expect(result).toEqual(await plain.matmul(await plain.loadMatrix(source), x, batch, null));
});
