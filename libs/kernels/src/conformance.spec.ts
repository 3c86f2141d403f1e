import { describe, it } from 'vitest';
import { kernelConformance } from './conformance.ts';
import { createReferenceKernels } from './reference/reference-kernels.ts';

describe('the reference kernels', () => {
  const kernels = createReferenceKernels();
  for (const { name, run } of kernelConformance()) it(name, () => run(kernels));
});
