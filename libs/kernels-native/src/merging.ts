import { assertPartials, type Kernels } from '@ultramem/kernels';
import type { Addon, Engine, Pending } from './load-addon.ts';
import { unwritten } from './unwritten.ts';

/** `native/addon/merging.cc`. */
export interface MergingAddon {
  /**
   * @param parts tokens and pooled vectors of each part in turn
   * @param columns first and end of the columns of each part
   */
  mergePartials(
    engine: Engine,
    parts: (Uint32Array | Float32Array)[],
    columns: Uint32Array,
    tokenCount: number,
    blockCount: number,
    width: number,
    out: Float32Array,
  ): Pending;
}

/** Adds what shards pooled: the reference's sums, to the last bit. */
export function mergingKernels(addon: Addon, engine: Engine) {
  return {
    mergePartials: async (parts, size) => {
      assertPartials(parts, size);
      const { tokenCount, blockCount, width } = size;
      const out = unwritten(Float32Array, tokenCount * blockCount * width);
      await addon.mergePartials(
        engine,
        parts.flatMap(({ token, pooled }) => [token, pooled]),
        Uint32Array.from(parts.flatMap(({ columns }) => [columns.start, columns.end])),
        ...([tokenCount, blockCount, width] as const),
        out,
      );
      return out;
    },
  } satisfies Partial<Kernels>;
}
