import type { BackendProbe } from './choose-backend.ts';

const LATER = { available: false as const, why: 'not in this build', remedy: 'build again later' };

/** Looks at every backend, in the order of `BACKENDS`. Loads what it must, keeps nothing. */
export async function probeBackends(): Promise<BackendProbe[]> {
  return [
    { backend: 'native', ...LATER },
    { backend: 'tensorflow', ...LATER },
    { backend: 'webgpu', ...LATER },
    { backend: 'reference', available: true, detail: 'plain TypeScript, one core a process', onGpu: false },
  ];
}
