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

/**
 * Unevaluated sums of two f32, `x.x + x.y` (two-sum and two-product: Dekker, A floating-point technique for extending the available
 * precision, 1971; Knuth, The Art of Computer Programming 2, 4.2.2). Needs `KEEP`.
 */
export const PAIRS = `
    // x + b, with b exact.
    fn addExactly(x: vec2f, b: f32) -> vec2f {
      let sum = keep(x.x + b);
      let grown = keep(sum - x.x);
      let lost = keep(x.x - keep(sum - grown)) + keep(b - grown);
      return vec2f(sum, x.y + lost);
    }

    // The upper 12 bits; the product of two such is exact, fused or not.
    fn upper(x: f32) -> f32 {
      return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
    }

    // x + a b.
    fn addProduct(x: vec2f, a: f32, b: f32) -> vec2f {
      let upperA = upper(a);
      let upperB = upper(b);
      let lowerA = keep(a - upperA);
      let lowerB = keep(b - upperB);
      let sum = addExactly(x, keep(upperA * upperB));
      return vec2f(sum.x, sum.y + (upperA * lowerB + (lowerA * upperB + lowerA * lowerB)));
    }`;

/**
 * `exponential(x)` to a few units in the last place for x <= 88, which the built-in one is not far from 0: 2^k times a Taylor polynomial of
 * what is left (argument reduction: Cody and Waite, Software Manual for the Elementary Functions, 1980). Needs `KEEP`.
 */
export const EXPONENTIAL = `
    fn exponential(x: f32) -> f32 {
      if (x < -87.0) { return 0.0; }
      let k = round(x * ${Math.LOG2E});
      // ln 2 in two parts; k times the first is exact.
      let r = keep(x - k * 0.693359375) - k * ${Math.LN2 - 0.693359375};
      var sum = 1.0 + r / 7.0;
      sum = 1.0 + r / 6.0 * sum;
      sum = 1.0 + r * 0.2 * sum;
      sum = 1.0 + r * 0.25 * sum;
      sum = 1.0 + r / 3.0 * sum;
      sum = 1.0 + r * 0.5 * sum;
      sum = 1.0 + r * sum;
      return sum * bitcast<f32>(u32(i32(k) + 127) << 23u);
    }`;
