import type { FloatDType } from '@ultramem/checkpoint';

/**
 * `element(row, column)` of a table in its stored width: `words` holds rows of `params.rowWords` 32-bit words, so that half-width
 * rows of odd length begin at whole words too. Halves are decoded from their bits, because a device may flush the small ones.
 */
export const ELEMENT: Record<FloatDType, string> = {
  F32: `
    fn element(row: u32, column: u32) -> f32 {
      return bitcast<f32>(words[row * params.rowWords + column]);
    }`,
  BF16: `
    fn element(row: u32, column: u32) -> f32 {
      let pair = words[row * params.rowWords + column / 2u];
      return bitcast<f32>(select(pair << 16u, pair & 0xffff0000u, (column & 1u) == 1u));
    }`,
  F16: `
    fn element(row: u32, column: u32) -> f32 {
      let half = (words[row * params.rowWords + column / 2u] >> (16u * (column & 1u))) & 0xffffu;
      let sign = (half & 0x8000u) << 16u;
      let rest = half & 0x7fffu;
      if (rest < 0x0400u) {
        return bitcast<f32>(sign | bitcast<u32>(f32(rest) * ${2 ** -24}));
      }
      return bitcast<f32>(sign | ((rest << 13u) + ${112 << 23}u));
    }`,
};

/**
 * `keep(x)` is x, behind a xor that no compiler sees through: WGSL lets implementations reassociate sums ("Reassociation
 * and fusion"), which would cancel the error terms of compensated summation.
 */
export const KEEP = `
    fn keep(x: f32) -> f32 {
      return bitcast<f32>(bitcast<u32>(x) ^ params.zero);
    }`;
