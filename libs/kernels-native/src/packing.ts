import { assert } from '@ultramem/invariant';
import { type Kernels, type PackedEncoding, packedBytes } from '@ultramem/kernels';
import type { Addon, Engine, Pending } from './load-addon.ts';
import { unwritten } from './unwritten.ts';

/** `native/addon/packing.cc`. */
export interface PackingAddon {
  /** Fails with the code NOT_FINITE where int8 has no place for a number. */
  packVectors(
    engine: Engine,
    values: Float32Array,
    width: number,
    encoding: number,
    out: Uint8Array,
  ): Pending;
  unpackVectors(
    engine: Engine,
    bytes: Uint8Array,
    width: number,
    encoding: number,
    out: Float32Array,
  ): Pending;
}

/** As `Packing` of `native/core/pack.h`. */
const ENCODINGS: readonly PackedEncoding[] = ['bf16', 'int8'];

/** Rounds for slow links and widens again: the reference's bytes and numbers, each written once. */
export function packingKernels(addon: Addon, engine: Engine) {
  return {
    packVectors: async (values, width, encoding) => {
      const out = unwritten(Uint8Array, packedBytes(values.length, width, encoding));
      try {
        await addon.packVectors(engine, values, width, numberOf(encoding), out);
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'NOT_FINITE') return null;
        throw error;
      }
      return out;
    },
    unpackVectors: async (bytes, count, width, encoding) => {
      if (bytes.length !== packedBytes(count, width, encoding)) return null;
      const out = unwritten(Float32Array, count);
      await addon.unpackVectors(engine, bytes, width, numberOf(encoding), out);
      return out;
    },
  } satisfies Partial<Kernels>;
}

function numberOf(encoding: PackedEncoding): number {
  const number = ENCODINGS.indexOf(encoding);
  assert(number >= 0, 'vectors are packed to bf16 or int8');
  return number;
}
