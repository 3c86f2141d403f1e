import { defineMessage } from '../define-message.ts';
import { notLength } from '../invalid-shape.ts';
import { POOLED_ENCODINGS } from '../pooled-encoding.ts';
import { f64, oneOf, u32 } from '../schema.ts';

/**
 * Answers `pool`.
 *
 * pooled => id computeMs encoding pooled packed
 *   computeMs => f64         time in the kernels
 *   encoding => 'f32' | 'bf16' | 'int8'   as asked for; f32 also in place of int8, where a number is not finite
 *   pooled => f32 [tokenCount, blockCount, worker's columns], partial: over the worker's rows; empty unless the encoding is f32
 *   packed => u8, the same in another encoding; else empty
 *     bf16: 2 bytes a number, little-endian
 *     int8: of each token and block the columns as int8, then a bf16 scale for each 64 columns, the last block possibly short;
 *           a number is its int8 times its scale
 */
export const pooled = defineMessage({
  kind: 'pooled',
  head: { id: u32, computeMs: f64, encoding: oneOf(...POOLED_ENCODINGS) },
  bulk: { pooled: 'f32', packed: 'u8' },
  invalid: ({ encoding, pooled, packed }) =>
    encoding === 'f32'
      ? notLength('packed', packed.length, 0, 'nothing beside f32')
      : notLength('pooled', pooled.length, 0, `nothing beside ${encoding}`),
});
