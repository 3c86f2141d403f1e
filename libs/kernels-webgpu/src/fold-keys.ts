import { assert } from '@ultramem/invariant';
import type { ReferenceKeys } from '@ultramem/kernels';
import type { CollapseVectors } from '@ultramem/ultramem';
import { SIDES } from '@ultramem/ultramem';

/**
 * One vector per key instead of one per key and rank: `Σ_r u_r K_r`, whose product with a query is about the collapsed score
 * (SEMANTICS 4.3). Each list (head and side) is scaled by a power of two to magnitudes around 1, where nothing overflows and
 * what is flushed to zero does not matter.
 */
export interface FoldedKeys {
  vectors: Float32Array; // [heads, 2, keyCount, width]
  /** The true vectors of a list are these times 2^exponent. */
  exponent: Int32Array; // [heads, 2]
  /** Largest `Σ_r |u_r| ‖K_r‖` of a list's keys. */
  reach: Float64Array; // [heads, 2]
  /** Largest ‖K_r‖ of a list. */
  largestNorm: Float64Array; // [heads, 2]
  /** `Σ_r |u_r|`. */
  weight: Float64Array; // [heads, 2]
}

export function foldKeys(keys: ReferenceKeys, collapse: CollapseVectors): FoldedKeys {
  const { elements, headCount, width, rank } = keys;
  const lists = headCount * SIDES;
  const keyCount = elements.length / (lists * rank * width);
  const folded: FoldedKeys = {
    vectors: new Float32Array(lists * keyCount * width),
    exponent: new Int32Array(lists),
    reach: new Float64Array(lists),
    largestNorm: new Float64Array(lists),
    weight: new Float64Array(lists),
  };
  const sums = new Float64Array(keyCount * width);
  for (let list = 0; list < lists; list++) {
    const u = vectorOfList(collapse, list, rank);
    folded.weight[list] = u.reduce((sum, x) => sum + Math.abs(x), 0);
    sums.fill(0);
    for (let key = 0; key < keyCount; key++) {
      let reach = 0;
      for (let r = 0; r < rank; r++) {
        const at = ((list * keyCount + key) * rank + r) * width;
        let square = 0;
        for (let c = 0; c < width; c++) {
          const x = elements[at + c];
          square += x * x;
          sums[key * width + c] += u[r] * x;
        }
        reach += Math.abs(u[r]) * Math.sqrt(square);
        folded.largestNorm[list] = Math.max(folded.largestNorm[list], Math.sqrt(square));
      }
      folded.reach[list] = Math.max(folded.reach[list], reach);
    }
    folded.exponent[list] = exponentOf(largestMagnitude(sums));
    const scale = 2 ** -folded.exponent[list];
    for (let i = 0; i < sums.length; i++) folded.vectors[list * sums.length + i] = sums[i] * scale;
  }
  return folded;
}

export function vectorOfList(collapse: CollapseVectors, list: number, rank: number): Float32Array {
  const head = Math.floor(list / SIDES);
  return (list % SIDES === 0 ? collapse.row : collapse.column).subarray(head * rank, (head + 1) * rank);
}

export function largestMagnitude(values: Float32Array | Float64Array): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]));
  return largest;
}

/** About the exponent of `magnitude`; 0 where it has none. */
export function exponentOf(magnitude: number): number {
  const exponent = Math.floor(Math.log2(magnitude));
  return Number.isFinite(exponent) ? exponent : 0;
}

/**
 * Bound of the distance between the device's scaled score and the exact collapsed score, itself scaled; `Infinity` where there is none.
 *
 * With u = 2^-23, because WGSL leaves open which way a device rounds, F = Σ_r u_r K_r and A = `reach`: folding rounds each F_c (u A ‖q‖);
 * the device's sum of `width` products, in any order and fused or not, errs by at most γ_width ‖q‖ ‖F‖, ‖F‖ <= A (Higham, Accuracy and
 * Stability of Numerical Algorithms, 3.1); the reference rounds each refined score once (u A ‖q‖, or 2^-150 each where denormal); 10 u
 * more cover second-order terms and the threshold's own rounding. Flushed denormals of the scaled factors and sums are below
 * width * 2^-120.
 */
export function scoreErrorMax(
  folded: FoldedKeys,
  list: number,
  query: { norm: number; exponent: number },
  width: number,
): number {
  assert(width < 2 ** 16, 'a key is narrower than the error bound allows');
  const refinedMax = query.norm * folded.largestNorm[list];
  if (!(refinedMax < 2 ** 126)) return Number.POSITIVE_INFINITY;
  const scale = 2 ** -(query.exponent + folded.exponent[list]);
  const relative = 1.01 * 2 ** -23 * (width + 12);
  return (
    (relative * query.norm * folded.reach[list] + 2 ** -149 * folded.weight[list]) * scale + width * 2 ** -120
  );
}
