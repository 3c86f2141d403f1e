import type { GridRequest } from '@ultramem/kernels';

/** The cores of a head, their sum, and what bounds a score relative to its row's and column's absolute sums. */
export interface GridHead {
  rank: number;
  perCore: Float32Array[]; // [rank, rank] each
  summed: Float64Array; // [rank, rank]
  magnitude: number;
}

export function gridHead(
  { headCount, rank, coreCount }: GridRequest,
  cores: Float32Array,
  head: number,
): GridHead {
  const size = rank * rank;
  const perCore = Array.from({ length: coreCount }, (_, c) =>
    cores.subarray((c * headCount + head) * size, (c * headCount + head + 1) * size),
  );
  const summed = new Float64Array(size);
  let magnitude = 0;
  for (const core of perCore) {
    for (let i = 0; i < size; i++) summed[i] += core[i];
    magnitude += core.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  }
  return { rank, perCore, summed, magnitude };
}

/** Greatest sum of the absolute refined scores of one candidate of `[k, rank]`; NaN when one is. */
export function largestCandidate(refined: Float32Array, rank: number): number {
  let largest = 0;
  for (let at = 0; at < refined.length; at += rank) {
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += Math.abs(refined[at + r]);
    largest = Math.max(largest, sum);
  }
  return largest;
}
