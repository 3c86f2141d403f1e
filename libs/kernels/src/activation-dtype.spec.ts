import { expect, it } from 'vitest';
import { withBf16Activations } from './activation-dtype.ts';
import { memoryTensor } from './memory-tensor.ts';
import { createReferenceKernels } from './reference/reference-kernels.ts';

it('rounds activations for weights stored in bf16, unless told otherwise, and for no others', async () => {
  const kernels = withBf16Activations(createReferenceKernels());
  const one = Float32Array.of(1);
  const x = Float32Array.of(1 + 2 ** -10);
  const narrow = await kernels.loadMatrix(memoryTensor('w', 'BF16', [1, 1], one));
  expect(await kernels.matmul(narrow, x, 1, null)).toEqual(one);
  const exact = await kernels.loadMatrix(memoryTensor('w', 'BF16', [1, 1], one), 'F32');
  expect(await kernels.matmul(exact, x, 1, null)).toEqual(x);
  const wide = await kernels.loadMatrix(memoryTensor('w', 'F32', [1, 1], one));
  expect(await kernels.matmul(wide, x, 1, null)).toEqual(x);
});
