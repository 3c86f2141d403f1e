import { probeNative } from '@ultramem/kernels-native';
import { probeTensorflow } from '@ultramem/kernels-tensorflow';
import { probeWebgpu } from '@ultramem/webgpu-device';
import { BACKENDS, type Backend } from './backend-name.ts';
import type { BackendProbe } from './choose-backend.ts';

/** Looks at every backend, in the order of `BACKENDS`. */
export function probeBackends(): Promise<BackendProbe[]> {
  return Promise.all(BACKENDS.map(probeBackend));
}

/** Whether this machine can run a backend. Loads what it must, keeps no device. */
export async function probeBackend(backend: Backend): Promise<BackendProbe> {
  switch (backend) {
    case 'native': {
      const probe = probeNative();
      return probe.available ? { backend, ...probe, onGpu: false } : { backend, ...probe };
    }
    case 'tensorflow': {
      const probe = await probeTensorflow();
      return probe.available
        ? { backend, ...probe, onGpu: probe.detail.includes('GPU') }
        : { backend, ...probe };
    }
    case 'webgpu': {
      const probe = await probeWebgpu();
      return probe.available
        ? { backend, available: true, detail: probe.detail, onGpu: !probe.isSoftware }
        : { backend, ...probe };
    }
    case 'reference':
      return { backend, available: true, detail: 'plain TypeScript, one core a process', onGpu: false };
  }
}
