import type { Kernels } from '@ultramem/kernels';
import { kernelConformance } from '@ultramem/kernels/conformance';
import { createWebgpuKernels, requiredLimits } from '@ultramem/kernels-webgpu';
import { openWebgpuDevice, probeWebgpu, type WebgpuDevice } from '@ultramem/webgpu-device';
import { afterAll, beforeAll, describe, it } from 'vitest';

const probe = await probeWebgpu();
const title = probe.available ? `on ${probe.detail}` : `without an adapter: ${probe.remedy}`;

describe.skipIf(!probe.available).each([
  { what: 'the WebGPU kernels', partBytes: undefined, cases: /./ },
  {
    what: 'the WebGPU kernels with tables in many buffers',
    partBytes: 2048,
    cases: /^(matmul|scoreKeys|pool|dotRows)/,
  },
])(`$what ${title}`, ({ partBytes, cases }) => {
  let opened: WebgpuDevice;
  let kernels: Kernels;

  beforeAll(async () => {
    opened = await openWebgpuDevice(requiredLimits);
    kernels = createWebgpuKernels(opened.device, partBytes === undefined ? {} : { partBytes });
  });
  afterAll(() => opened.close());

  for (const { name, run } of kernelConformance().filter((each) => cases.test(each.name)))
    it(name, () => run(kernels));
});
