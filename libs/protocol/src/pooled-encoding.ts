import { unreachable } from '@ultramem/invariant';

/**
 * How pooled vectors travel: as they are; rounded to bf16, half the bytes; or as int8 with a bf16 scale for each 64 columns, a quarter
 * of them. For links that are slower than the rounding.
 */
export const POOLED_ENCODINGS = ['f32', 'bf16', 'int8'] as const;
export type PooledEncoding = (typeof POOLED_ENCODINGS)[number];

/** How far a number that a worker sends may be off. */
export function errorOfEncoding(encoding: PooledEncoding): string {
  switch (encoding) {
    case 'f32':
      return 'exact';
    case 'bf16':
      return 'off by at most 0.4 % of itself';
    case 'int8':
      return 'off by at most 0.4 % of the largest of its 64 columns';
    default:
      return unreachable(encoding);
  }
}
