import { availableParallelism } from 'node:os';
import { loadAddon } from './load-addon.ts';

export type NativeProbe =
  /** `detail`: instruction set and threads, as in `avx512, 2 threads`. */
  { available: true; detail: string } | { available: false; why: string; remedy: string };

/** Whether `createNativeKernels` works in this process, and what is missing where it does not. */
export function probeNative(): NativeProbe {
  const loaded = loadAddon();
  if (loaded.addon === null) return { available: false, why: loaded.why, remedy: loaded.remedy };
  const threads = availableParallelism();
  return { available: true, detail: `${loaded.addon.isa}, ${threads} thread${threads === 1 ? '' : 's'}` };
}
