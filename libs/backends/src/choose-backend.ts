import { present } from '@ultramem/invariant';
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
 * @param probes of every backend
 */
export function chooseBackend(probes: readonly BackendProbe[]): Backend {
  const of = (backend: Backend) =>
    present(
      probes.find((probe) => probe.backend === backend),
      'every backend was looked at',
    );
  const tensorflow = of('tensorflow');
  if (tensorflow.available && tensorflow.onGpu) return 'tensorflow';
  return of('native').available ? 'native' : 'reference';
}
