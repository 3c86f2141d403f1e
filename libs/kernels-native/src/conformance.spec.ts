import type { Kernels } from '@ultramem/kernels';
import { kernelConformance } from '@ultramem/kernels/conformance';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { createNativeKernels } from './native-kernels.ts';
import { probeNative } from './probe-native.ts';

const probe = probeNative();

describe.skipIf(!probe.available)(
  `the native kernels (${probe.available ? probe.detail : probe.why})`,
  () => {
    let kernels: Kernels;
    beforeAll(() => {
      kernels = createNativeKernels();
    });
    afterAll(() => kernels.close());
    for (const { name, run } of kernelConformance()) it(name, () => run(kernels));
  },
);
