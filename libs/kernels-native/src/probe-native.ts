import { availableParallelism } from 'node:os';
import { loadAddon } from './load-addon.ts';

export type NativeProbe =
  /** `detail`: instruction set and threads, as in `avx512, 2 threads`; `with bf16` where activations in bf16 make products faster. */
  { available: true; detail: string } | { available: false; why: string; remedy: string };

/** Whether `createNativeKernels` works in this process, and what is missing where it does not. */
export function probeNative(): NativeProbe {
  const loaded = loadAddon();
  if (loaded.addon === null) return { available: false, why: loaded.why, remedy: loaded.remedy };
  const { isa, multipliesBf16 } = loaded.addon;
  const threads = availableParallelism();
  const detail = `${isa}${multipliesBf16 ? ' with bf16' : ''}, ${threads} thread${threads === 1 ? '' : 's'}`;
  return { available: true, detail };
}
