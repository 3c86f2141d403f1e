import { assert } from '@ultramem/invariant';
import type { CollapseVectors } from '@ultramem/ultramem';

/**
 * One update of `tucker_core_u` and `tucker_core_v` (SEMANTICS section 9): the first left and right singular vectors of
 * the summed cores of each head, with the sign that lies nearer to the previous vectors.
 *
 * Where the previous ones do not decide (a fresh model), the sum of both vectors' entries is negative, which is what
 * LAPACK gives for nearly every matrix of the initial distribution.
 */
export function tuckerVectors(options: {
  coreSum: ArrayLike<number>; // [heads, rank, rank]
  headCount: number;
  rank: number;
  previous: CollapseVectors;
}): CollapseVectors {
  const { coreSum, headCount, rank, previous } = options;
  assert(coreSum.length === headCount * rank * rank, 'one rank x rank matrix for each head');
  const row = new Float32Array(headCount * rank);
  const column = new Float32Array(headCount * rank);
  for (let head = 0; head < headCount; head++) {
    const matrix = Float64Array.from({ length: rank * rank }, (_, i) => coreSum[head * rank * rank + i]);
    const [left, right] = firstSingularVectors(matrix, rank);
    let distancePlus = 0;
    let distanceMinus = 0;
    for (let r = 0; r < rank; r++) {
      const [u, v] = [previous.row[head * rank + r], previous.column[head * rank + r]];
      distancePlus += Math.abs(left[r] - u) + Math.abs(right[r] - v);
      distanceMinus += Math.abs(-left[r] - u) + Math.abs(-right[r] - v);
    }
    const sign = distanceMinus >= distancePlus ? 1 : -1;
    for (let r = 0; r < rank; r++) {
      row[head * rank + r] = sign * left[r];
      column[head * rank + r] = sign * right[r];
    }
  }
  return { row, column };
}

/** v is the first eigenvector of MᵀM and u = M v / |M v|; for M = 0 both are the first unit vector. */
function firstSingularVectors(
  unscaled: Float64Array,
  rank: number,
): [left: Float64Array, right: Float64Array] {
  const largest = unscaled.reduce((max, entry) => Math.max(max, Math.abs(entry)), 0);
  const matrix = largest === 0 ? unscaled : unscaled.map((entry) => entry / largest); // squares must not underflow
  const gram = new Float64Array(rank * rank);
  for (let i = 0; i < rank; i++)
    for (let j = 0; j < rank; j++)
      for (let k = 0; k < rank; k++) gram[i * rank + j] += matrix[k * rank + i] * matrix[k * rank + j];
  const right = firstEigenvector(gram, rank);
  const left = new Float64Array(rank);
  for (let i = 0; i < rank; i++) for (let j = 0; j < rank; j++) left[i] += matrix[i * rank + j] * right[j];
  const length = Math.hypot(...left);
  if (length === 0) left[0] = 1;
  else for (let i = 0; i < rank; i++) left[i] /= length;
  let sum = 0;
  for (let i = 0; i < rank; i++) sum += left[i] + right[i];
  if (sum > 0) for (const vector of [left, right]) for (let i = 0; i < rank; i++) vector[i] = -vector[i];
  return [left, right];
}

/** Cyclic Jacobi on a symmetric matrix, which it destroys: rotations drive the off-diagonal entries to zero. */
function firstEigenvector(symmetric: Float64Array, rank: number): Float64Array {
  const a = symmetric;
  const vectors = new Float64Array(rank * rank); // column j belongs to a[j, j]
  for (let i = 0; i < rank; i++) vectors[i * rank + i] = 1;
  // Convergence is quadratic: ranks of this size need fewer than ten sweeps.
  for (let sweep = 0; sweep < 30; sweep++)
    for (let p = 0; p < rank; p++)
      for (let q = p + 1; q < rank; q++) {
        if (a[p * rank + q] === 0) continue;
        const theta = (a[q * rank + q] - a[p * rank + p]) / (2 * a[p * rank + q]);
        const tangent = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
        const cosine = 1 / Math.hypot(tangent, 1);
        rotate(a, rank, { p, q, cosine, sine: tangent * cosine, stride: 1 });
        rotate(a, rank, { p, q, cosine, sine: tangent * cosine, stride: rank });
        rotate(vectors, rank, { p, q, cosine, sine: tangent * cosine, stride: 1 });
      }
  let best = 0;
  for (let j = 1; j < rank; j++) if (a[j * rank + j] > a[best * rank + best]) best = j;
  return Float64Array.from({ length: rank }, (_, i) => vectors[i * rank + best]);
}

/** Rotates columns p and q (`stride` 1) or rows p and q (`stride` = rank) into each other. */
function rotate(
  matrix: Float64Array,
  rank: number,
  rotation: { p: number; q: number; cosine: number; sine: number; stride: number },
): void {
  const { p, q, cosine, sine, stride } = rotation;
  const across = stride === 1 ? rank : 1;
  for (let i = 0; i < rank; i++) {
    const atP = i * across + p * stride;
    const atQ = i * across + q * stride;
    const [x, y] = [matrix[atP], matrix[atQ]];
    matrix[atP] = cosine * x - sine * y;
    matrix[atQ] = sine * x + cosine * y;
  }
}
