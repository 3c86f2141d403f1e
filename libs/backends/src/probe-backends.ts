import { BACKENDS, type Backend } from './backend-name.ts';
import type { BackendProbe } from './choose-backend.ts';

/** Looks at every backend, in the order of `BACKENDS`. */
export function probeBackends(): Promise<BackendProbe[]> {
  return Promise.all(BACKENDS.map(probeBackend));
}

/** Whether this machine can run a backend. Loads the code of that one only, keeps no device. */
export async function probeBackend(backend: Backend): Promise<BackendProbe> {
  switch (backend) {
    case 'native': {
      const { probeNative } = await import('@ultramem/kernels-native');
      const probe = probeNative();
      return probe.available ? { backend, ...probe, onGpu: false } : { backend, ...probe };
    }
    case 'tensorflow': {
      const { probeTensorflow } = await import('@ultramem/kernels-tensorflow');
      const probe = await probeTensorflow();
      return probe.available
        ? { backend, ...probe, onGpu: probe.detail.includes('GPU') }
        : { backend, ...probe };
    }
    case 'webgpu': {
      const { probeWebgpu } = await import('@ultramem/webgpu-device');
      const probe = await probeWebgpu();
      return probe.available
        ? { backend, available: true, detail: probe.detail, onGpu: !probe.isSoftware }
        : { backend, ...probe };
    }
    case 'reference':
      return { backend, available: true, detail: 'plain TypeScript, one core a process', onGpu: false };
  }
}
