import { probeNative } from '@ultramem/kernels-native';
import { probeTensorflow } from '@ultramem/kernels-tensorflow';
import type { BackendProbe } from './choose-backend.ts';

const LATER = { available: false as const, why: 'not in this build', remedy: 'build again later' };

type Probe = { available: true; detail: string } | { available: false; why: string; remedy: string };

/** Looks at every backend, in the order of `BACKENDS`. Loads what it must, keeps nothing. */
export async function probeBackends(): Promise<BackendProbe[]> {
  return [
    { backend: 'native', ...placed(probeNative(), () => false) },
    {
      backend: 'tensorflow',
      ...placed(await probeTensorflow(), (detail) => detail.includes('GPU')),
    },
    { backend: 'webgpu', ...LATER },
    { backend: 'reference', available: true, detail: 'plain TypeScript, one core a process', onGpu: false },
  ];
}

function placed(probe: Probe, isGpu: (detail: string) => boolean) {
  return probe.available ? { ...probe, onGpu: isGpu(probe.detail) } : probe;
}
