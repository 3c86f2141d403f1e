import type { Kernels } from '@ultramem/kernels';
import { kernelConformance } from '@ultramem/kernels/conformance';
import { beforeAll, describe, it } from 'vitest';
import { whyAbsent } from './binding.ts';
import { createTensorflowKernels } from './tensorflow-kernels.ts';

const absent = whyAbsent();

describe.skipIf(absent !== null)(
  `the TensorFlow kernels${absent === null ? '' : ` (${absent.why}: ${absent.remedy})`}`,
  () => {
    let kernels: Kernels;
    beforeAll(async () => {
      kernels = await createTensorflowKernels({ device: 'cpu' });
    });
    for (const { name, run } of kernelConformance()) it(name, () => run(kernels));
  },
);
