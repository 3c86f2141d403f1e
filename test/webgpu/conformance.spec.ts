import type { Kernels } from '@ultramem/kernels';
import { kernelConformance } from '@ultramem/kernels/conformance';
import { createWebgpuKernels, requiredLimits } from '@ultramem/kernels-webgpu';
import { openWebgpuDevice, probeWebgpu, type WebgpuDevice } from '@ultramem/webgpu-device';
import { afterAll, beforeAll, describe, it } from 'vitest';

const probe = await probeWebgpu();
const title = probe.available ? `on ${probe.detail}` : `without an adapter: ${probe.remedy}`;

describe.skipIf(!probe.available).each([
  { what: 'the WebGPU kernels', options: {}, cases: /./ },
  {
    what: 'the WebGPU kernels with tables in many buffers',
    options: { partBytes: 2048, gridCellsMin: 0 },
    cases: /^(matmul|scoreKeys|select|pool|dotRows)/,
  },
  {
    what: 'the WebGPU kernels with every grid on the device',
    options: { gridCellsMin: 0 },
    cases: /^select/,
  },
])(`$what ${title}`, ({ options, cases }) => {
  let opened: WebgpuDevice;
  let kernels: Kernels;

  beforeAll(async () => {
    opened = await openWebgpuDevice(requiredLimits);
    kernels = createWebgpuKernels(opened.device, options);
  });
  afterAll(() => opened.close());

  for (const { name, run } of kernelConformance().filter((each) => cases.test(each.name)))
    it(name, () => run(kernels));
});
