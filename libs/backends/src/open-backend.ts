import { systemClock } from '@ultramem/environment-system';
import { OperatingError } from '@ultramem/invariant';
import { createReferenceKernels, type Kernels } from '@ultramem/kernels';
import { createNativeKernels, probeNative } from '@ultramem/kernels-native';
import { createTensorflowKernels, probeTensorflow } from '@ultramem/kernels-tensorflow';
import type { Backend } from './backend-name.ts';
import { chooseBackend } from './choose-backend.ts';
import { probeBackends } from './probe-backends.ts';

export interface BackendOptions {
  backend: Backend | 'auto';
  /** Which of several devices: `gpu:1` for TensorFlow, part of an adapter's name for WebGPU. Null takes the first. */
  device?: string | null;
  /** Threads of the native kernels; null takes one per core. */
  threads?: number | null;
  /** Told when `auto` had to take something slower than native code, and what mends it. */
  onFallback?: (fallback: { backend: Backend; why: string; remedy: string }) => void;
}

/**
 * Kernels by name, or the best that this machine has.
 *
 * @throws OperatingError BACKEND_UNAVAILABLE when a backend is named that is not there
 */
export async function openBackend(options: BackendOptions): Promise<Kernels> {
  if (options.backend !== 'auto') return open(options.backend, options);
  const probes = await probeBackends();
  const backend = chooseBackend(probes);
  const native = probes.find((probe) => probe.backend === 'native');
  if (backend === 'reference' && native?.available === false)
    options.onFallback?.({ backend, why: native.why, remedy: native.remedy });
  return open(backend, options);
}

async function open(backend: Backend, { device, threads }: BackendOptions): Promise<Kernels> {
  switch (backend) {
    case 'native':
      refuseAbsent(backend, probeNative());
      return createNativeKernels(threads === null || threads === undefined ? {} : { threads });
    case 'tensorflow':
      refuseAbsent(backend, await probeTensorflow());
      return createTensorflowKernels({ device: device ?? null, breathe: systemClock.breathe });
    case 'webgpu':
      throw new OperatingError(
        'BACKEND_UNAVAILABLE',
        `the ${backend} kernels cannot run here (not in this build); expected a backend that this machine has; build again later, or take --backend auto`,
      );
    case 'reference':
      return createReferenceKernels(systemClock.breathe);
  }
}

function refuseAbsent(
  backend: Backend,
  probe: { available: true } | { available: false; why: string; remedy: string },
): void {
  if (!probe.available)
    throw new OperatingError(
      'BACKEND_UNAVAILABLE',
      `the ${backend} kernels cannot run here (${probe.why}); expected a backend that this machine has; ${probe.remedy}, or take --backend auto`,
    );
}
