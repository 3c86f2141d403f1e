/**
 * How pooled vectors travel: as they are; rounded to bf16, half the bytes; or as int8 with a bf16 scale for each 64 columns, a quarter
 * of them. For links that are slower than the rounding.
 */
export const POOLED_ENCODINGS = ['f32', 'bf16', 'int8'] as const;
export type PooledEncoding = (typeof POOLED_ENCODINGS)[number];
