import { systemClock } from '@ultramem/environment-system';
import { OperatingError } from '@ultramem/invariant';
import { createReferenceKernels, type Kernels } from '@ultramem/kernels';
import type { Backend } from './backend-name.ts';

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
export async function openBackend({ backend }: BackendOptions): Promise<Kernels> {
  if (backend === 'auto' || backend === 'reference') return createReferenceKernels(systemClock.breathe);
  throw new OperatingError(
    'BACKEND_UNAVAILABLE',
    `the ${backend} kernels cannot run here (not in this build); expected a backend that this machine has; build again later, or take --backend auto`,
  );
}
