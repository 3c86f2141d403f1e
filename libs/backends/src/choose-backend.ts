import type { Backend } from './backend-name.ts';

/** What a look at the machine found about one backend. */
export type BackendProbe = { backend: Backend } & (
  | { available: true; detail: string /** On a graphics card, not imitated on the CPU. */; onGpu: boolean }
  | { available: false; why: string; remedy: string }
);

/**
 * What `auto` takes: a GPU that TensorFlow can use, else native code, else plain TypeScript. WebGPU is taken by name only: on
 * machines without a GPU it is imitated by the CPU, slower than everything else.
 *
 * @param probes of native and tensorflow; others do not matter
 */
export function chooseBackend(probes: readonly BackendProbe[]): Backend {
  const isThere = (wanted: Backend, mustBeGpu: boolean) =>
    probes.some((probe) => probe.backend === wanted && probe.available && (probe.onGpu || !mustBeGpu));
  if (isThere('tensorflow', true)) return 'tensorflow';
  return isThere('native', false) ? 'native' : 'reference';
}
