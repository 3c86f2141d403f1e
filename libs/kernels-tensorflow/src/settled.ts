/** Half a unit in the last place of f64. */
const HALF_ULP = 2 ** -53;

/**
 * Greatest distance between two f64 sums of the same `count` exact products, each in an order of its own, when the absolute
 * products sum up to `magnitude` (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2).
 */
export function sumBound(count: number, magnitude: number): number {
  return 2.02 * (count + 2) * HALF_ULP * magnitude;
}

/**
 * Whether every number within `bound` of the f64 `sum` is rounded to the same f32: then it does not matter in which order
 * the device added. False for NaN.
 */
export function isSettled(sum: number, bound: number): boolean {
  return Math.fround(sum - bound) === Math.fround(sum + bound);
}

/** Euclidean norm of `x[at .. at + width - 1]`; the product of two of them bounds the absolute terms of a dot product (Cauchy, Schwarz). */
export function normOf(x: ArrayLike<number>, at: number, width: number): number {
  let sum = 0;
  for (let c = at; c < at + width; c++) sum += x[c] * x[c];
  return Math.sqrt(sum);
}
