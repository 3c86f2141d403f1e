import { availableParallelism, totalmem } from 'node:os';
import { assert } from '@ultramem/invariant';
import type { Kernels } from '@ultramem/kernels';
import { denseKernels } from './dense.ts';
import { loadAddon } from './load-addon.ts';
import { mergingKernels } from './merging.ts';
import { packingKernels } from './packing.ts';
import { poolingKernels } from './pooling.ts';
import { selectionKernels } from './selection.ts';

/**
 * The contract in C++: SIMD chosen at run time, own threads. `probeNative` says beforehand whether it is there.
 *
 * @param options.threads threads of large computations, the JS thread not counted; as many as the machine offers when left out
 * @param options.memoryBytes that this process may have; the machine's when left out. Tables that would crowd it are read page by page
 */
export function createNativeKernels(options: { threads?: number; memoryBytes?: number } = {}): Kernels {
  const loaded = loadAddon();
  assert(loaded.addon !== null, 'native kernels are created where probeNative says that they are available');
  const { addon } = loaded;
  const threads = options.threads ?? availableParallelism();
  assert(Number.isInteger(threads) && threads >= 1, 'there is at least one thread');
  const engine = addon.createEngine(threads);
  let closed = false;
  return {
    backend: 'native',
    ...denseKernels(addon, engine),
    ...selectionKernels(addon, engine),
    ...poolingKernels(addon, engine, options.memoryBytes ?? totalmem()),
    ...mergingKernels(addon, engine),
    ...packingKernels(addon, engine),
    close: async () => {
      if (closed) return;
      closed = true;
      await addon.drainEngine(engine);
      addon.stopEngine(engine);
    },
  };
}
