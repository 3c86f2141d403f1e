import type { Kernels } from '@ultramem/kernels';
import { kernelConformance } from '@ultramem/kernels/conformance';
import { beforeAll, describe, it } from 'vitest';
import { whyAbsent } from './binding.ts';
import { createTensorflowKernels } from './tensorflow-kernels.ts';

const absent = whyAbsent();
/** As `gpu:0`, to run these cases on a graphics card. */
const device = process.env.ULTRAMEM_TENSORFLOW_DEVICE ?? 'cpu';

describe.skipIf(absent !== null)(
  `the TensorFlow kernels${absent === null ? '' : ` (${absent.why}: ${absent.remedy})`}`,
  () => {
    let kernels: Kernels;
    beforeAll(async () => {
      kernels = await createTensorflowKernels({ device });
    });
    for (const { name, run } of kernelConformance()) it(name, () => run(kernels));
  },
);
