import { assert } from '@ultramem/invariant';
import type { GridRequest } from '@ultramem/kernels';
import { SIDES } from '@ultramem/ultramem';
import { exponentOf, largestMagnitude } from './fold-keys.ts';

/**
 * Grids as products of two thin matrices: the score of a cell (SEMANTICS 4.4) is about `Σ_s rows[a, s] columns[b, s]`. Each list (token
 * and head) is scaled by powers of two to magnitudes around 1, where nothing overflows and what is flushed to zero does not matter.
 */
export interface GridFactors {
  /** That of the cores; 2 for Memory+, whose sum of two scores is `row 1 + 1 column`. */
  rank: number;
  rows: Float32Array; // [lists, k, rank]
  columns: Float32Array; // [lists, k, rank]
  /** Bound of the distance between the device's score and the reference's sum, both scaled; `Infinity` where there is none. */
  errorMax: Float64Array; // [lists]
}

/** The sum of all cores, and of their magnitudes. */
export interface SummedCores {
  sum: Float64Array; // [heads, rank, rank]
  magnitude: Float64Array; // [heads, rank, rank]
}

export function sumCores({ cores, coreCount }: GridRequest): SummedCores | null {
  if (cores === null) return null;
  const size = cores.length / coreCount;
  const summed = { sum: new Float64Array(size), magnitude: new Float64Array(size) };
  for (let i = 0; i < cores.length; i++) {
    summed.sum[i % size] += cores[i];
    summed.magnitude[i % size] += Math.abs(cores[i]);
  }
  return summed;
}

/** The grids of tokens `first .. end - 1`. */
export function gridFactors(
  request: GridRequest,
  cores: SummedCores | null,
  { first, end }: { first: number; end: number },
): GridFactors {
  const { headCount, candidates } = request;
  const k = candidates.perSide;
  const lists = (end - first) * headCount;
  const rank = cores === null ? 2 : request.rank;
  const factors: GridFactors = {
    rank,
    rows: new Float32Array(lists * k * rank),
    columns: new Float32Array(lists * k * rank),
    errorMax: new Float64Array(lists),
  };
  const sideLength = k * request.rank;
  for (let list = 0; list < lists; list++) {
    const at = (first * headCount + list) * SIDES * sideLength;
    const row = candidates.refined.subarray(at, at + sideLength);
    const column = candidates.refined.subarray(at + sideLength, at + 2 * sideLength);
    const into = {
      rows: factors.rows.subarray(list * k * rank, (list + 1) * k * rank),
      columns: factors.columns.subarray(list * k * rank, (list + 1) * k * rank),
    };
    const magnitude =
      cores === null
        ? putSides(row, column, into)
        : putBentRows(row, column, headOf(cores, list % headCount, rank), into);
    factors.errorMax[list] = gridErrorMax(magnitude, rank, request.coreCount);
  }
  return factors;
}

type Into = Pick<GridFactors, 'rows' | 'columns'>;

/** @returns bound of the magnitude of every scaled sum */
function putSides(row: Float32Array, column: Float32Array, { rows, columns }: Into): number {
  const [rowMax, columnMax] = [largestMagnitude(row), largestMagnitude(column)];
  const scale = 2 ** -exponentOf(Math.max(rowMax, columnMax));
  for (let j = 0; j < row.length; j++) {
    rows[2 * j] = row[j] * scale;
    rows[2 * j + 1] = 1;
    columns[2 * j] = 1;
    columns[2 * j + 1] = column[j] * scale;
  }
  return (rowMax + columnMax) * scale;
}

/** @returns bound of the scaled sum of all terms' magnitudes of any cell, before anything cancels */
function putBentRows(
  row: Float32Array,
  column: Float32Array,
  { sum, magnitude }: SummedCores,
  { rows, columns }: Into,
): number {
  const rank = Math.sqrt(sum.length);
  const bent = new Float64Array(row.length);
  for (let at = 0; at < row.length; at += rank)
    for (let r = 0; r < rank; r++)
      for (let s = 0; s < rank; s++) bent[at + s] += row[at + r] * sum[r * rank + s];
  const rowScale = 2 ** -exponentOf(largestMagnitude(bent));
  const columnScale = 2 ** -exponentOf(largestMagnitude(column));
  for (let i = 0; i < row.length; i++) {
    rows[i] = bent[i] * rowScale;
    columns[i] = column[i] * columnScale;
  }
  const [rowMax, columnMax] = [largestPerRank(row, rank), largestPerRank(column, rank)];
  let whole = 0;
  for (let r = 0; r < rank; r++)
    for (let s = 0; s < rank; s++) whole += rowMax[r] * magnitude[r * rank + s] * columnMax[s];
  return whole * rowScale * columnScale;
}

function largestPerRank(refined: Float32Array, rank: number): Float64Array {
  const largest = new Float64Array(rank);
  for (let i = 0; i < refined.length; i++)
    largest[i % rank] = Math.max(largest[i % rank], Math.abs(refined[i]));
  return largest;
}

function headOf({ sum, magnitude }: SummedCores, head: number, rank: number): SummedCores {
  const [first, end] = [head * rank * rank, (head + 1) * rank * rank];
  return { sum: sum.subarray(first, end), magnitude: magnitude.subarray(first, end) };
}

/**
 * With u = 2^-23, because WGSL leaves open which way a device rounds, and A the magnitude of all terms: each factor is rounded once and
 * the device's sum of `rank` products, in any order and fused or not, errs by at most γ_rank A (Higham, Accuracy and Stability of
 * Numerical Algorithms, 3.1); 2 u A more cover the rounding of the threshold and the sums in f64, both the reference's and those
 * that make the factors. Flushed denormals of the scaled factors and sums are below rank * 2^-120.
 */
function gridErrorMax(magnitude: number, rank: number, coreCount: number): number {
  assert(rank < 2 ** 15 && coreCount < 2 ** 20, 'a core is smaller than the error bound allows');
  if (!(magnitude < 2 ** 100)) return Number.POSITIVE_INFINITY;
  return 1.01 * 2 ** -23 * (rank + 4) * magnitude + rank * 2 ** -120;
}
