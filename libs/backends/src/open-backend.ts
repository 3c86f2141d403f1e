import { memoryLimitBytes, systemClock } from '@ultramem/environment-system';
import { OperatingError } from '@ultramem/invariant';
import {
  type ActivationDType,
  createReferenceKernels,
  type Kernels,
  withBf16Activations,
} from '@ultramem/kernels';
import type { Backend } from './backend-name.ts';
import { chooseBackend } from './choose-backend.ts';
import { probeBackend } from './probe-backends.ts';

export interface BackendOptions {
  backend: Backend | 'auto';
  /** Which of several devices: `gpu:1` for TensorFlow, part of an adapter's name for WebGPU. Null takes the first. */
  device?: string | null;
  /** Threads of the native kernels; null takes one per core. */
  threads?: number | null;
  /** What weights stored in bf16 multiply; exact unless BF16 is said. */
  activations?: ActivationDType;
  /** Told when `auto` had to take something slower than native code, and what mends it. */
  onFallback?: (fallback: { backend: Backend; why: string; remedy: string }) => void;
}

/**
 * Kernels by name, or the best that this machine has.
 *
 * @throws OperatingError BACKEND_UNAVAILABLE when a backend is named that is not there, USAGE when a device is named for one that has none
 */
export async function openBackend(options: BackendOptions): Promise<Kernels> {
  const kernels = await openNamed(options);
  return options.activations === 'BF16' ? withBf16Activations(kernels) : kernels;
}

async function openNamed(options: BackendOptions): Promise<Kernels> {
  if (options.backend !== 'auto') return open(options.backend, options);
  const native = await probeBackend('native');
  const backend = chooseBackend([native, await probeBackend('tensorflow')]);
  if (backend === 'reference' && !native.available)
    options.onFallback?.({ backend, why: native.why, remedy: native.remedy });
  return open(backend, options);
}

async function open(backend: Backend, { device, threads }: BackendOptions): Promise<Kernels> {
  if (device !== null && device !== undefined && (backend === 'native' || backend === 'reference'))
    throw new OperatingError(
      'USAGE',
      `--device is "${device}", but the ${backend} kernels run on the processor; expected a device for tensorflow or webgpu only; leave --device out, or name the backend with --backend`,
    );
  const probe = await probeBackend(backend);
  if (!probe.available)
    throw new OperatingError(
      'BACKEND_UNAVAILABLE',
      `the ${backend} kernels cannot run here (${probe.why}); expected a backend that this machine has; ${probe.remedy}, or take --backend auto`,
    );
  const { breathe } = systemClock;
  switch (backend) {
    case 'native': {
      const { createNativeKernels } = await import('@ultramem/kernels-native');
      return createNativeKernels({
        memoryBytes: memoryLimitBytes(),
        ...(threads === null || threads === undefined ? {} : { threads }),
      });
    }
    case 'tensorflow': {
      const { createTensorflowKernels } = await import('@ultramem/kernels-tensorflow');
      return createTensorflowKernels({ device: device ?? null, breathe });
    }
    case 'webgpu': {
      const { openWebgpuDevice } = await import('@ultramem/webgpu-device');
      const { createWebgpuKernels, requiredLimits } = await import('@ultramem/kernels-webgpu');
      const adapter = device === null || device === undefined ? {} : { adapter: device };
      const opened = await openWebgpuDevice(requiredLimits, adapter);
      return createWebgpuKernels(opened.device, { breathe });
    }
    case 'reference':
      return createReferenceKernels(breathe);
  }
}
