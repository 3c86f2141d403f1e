import type { GridRequest } from '@ultramem/kernels';
import { SIDES } from '@ultramem/ultramem';
import type { Binding } from './binding.ts';
import type { GridHead } from './grid-head.ts';
import { type TensorId, type Tensors, TYPE, typeOf, withTensors } from './tensors.ts';

/** Places taken beyond the best k, so that rounding near the edge decides nothing. */
const MARGIN = 8;

/** The best places of each grid as the device sees them; a row is a token and a head. */
export interface DeviceGrid {
  /** Places in a row, at least k, best first. */
  perRow: number;
  place: Int32Array; // [rows, perRow], numbered row by row of the grid
  total: Float64Array; // [rows, perRow]
  scores: Float64Array[]; // per core [rows, perRow]
  /** Whether the first k are the reference's, when scores with the summed cores are off by at most `bound`. */
  isExact(row: number, bound: number): boolean;
}

/**
 * Scores the grids of `count` tokens with the summed cores, takes more than k places, and ranks these by their scores core by
 * core: additions and products of f64 one by one in the reference's order, so with its bits.
 */
export function deviceGrid(
  binding: Binding,
  { candidates: { perSide: k, refined }, headCount, rank, coreCount }: GridRequest,
  heads: readonly GridHead[],
  first: number,
  count: number,
): DeviceGrid {
  const rows = count * headCount;
  const taken = Math.min(k * k, k + MARGIN);
  const perRow = Math.min(taken, k + 1); // one more, to see whether it is as good
  const length = headCount * SIDES * k * rank; // of a token
  const part = refined.subarray(first * length, (first + count) * length);
  const { edge, place, total, scores } = withTensors(binding, (tensors) => {
    const [row, column] = tensors.unpack(tensors.widened([rows, SIDES, k, rank], part), SIDES, 1);
    const summed = new Float64Array(rows * rank * rank);
    for (let i = 0; i < rows; i++) summed.set(heads[i % headCount].summed, i * rank * rank);
    const bent = tensors.matmul(TYPE.F64, row, tensors.f64([rows, rank, rank], summed), false);
    const grid = tensors.reshape(tensors.matmul(TYPE.F64, bent, column, true), TYPE.F64, [rows, k * k]);
    const [score, places] = tensors.topK(grid, TYPE.F64, taken);
    const perCore = scorePlaces(tensors, { heads, row, column, places, k, rank, rows });
    const [best, order] = tensors.topK(sum(tensors, perCore), TYPE.F64, perRow);
    const ranked = (x: TensorId) => tensors.readF64(tensors.gather(x, TYPE.F64, order, TYPE.I32, 1));
    return {
      edge: tensors.readF64(tensors.slice(score, TYPE.F64, [0, taken - 1], [rows, 1])),
      place: tensors.readI32(tensors.gather(places, TYPE.I32, order, TYPE.I32, 1)),
      total: tensors.readF64(best),
      scores: coreCount === 1 ? [tensors.readF64(best)] : perCore.map(ranked),
    };
  });
  return {
    ...{ perRow, place, total, scores },
    isExact(row, bound) {
      const at = row * perRow;
      for (let j = 1; j < perRow; j++) if (total[at + j] === total[at + j - 1]) return false;
      return taken === k * k || total[at + k - 1] > edge[row] + bound;
    },
  };
}

interface Places {
  heads: readonly GridHead[];
  row: TensorId; // [rows, k, rank]
  column: TensorId;
  places: TensorId; // [rows, taken]
  k: number;
  rank: number;
  rows: number;
}

/** `Σ_s (Σ_r row_r core_rs) column_s` of each place, per core `[rows, taken]`. */
function scorePlaces(tensors: Tensors, { heads, row, column, places, k, rank, rows }: Places): TensorId[] {
  const scalar = (value: number) => tensors.f64([], Float64Array.of(value));
  const wide = tensors.cast(places, TYPE.I32, TYPE.F64);
  // Half a place more, so that no rounding of 1 / k crosses a whole number.
  const ratio = tensors.multiply(tensors.add(wide, scalar(0.5)), scalar(1 / k));
  const rowNumber = tensors.run('Floor', [typeOf('T', TYPE.F64)], [ratio]);
  const columnNumber = tensors.add(wide, tensors.multiply(rowNumber, scalar(-k)));
  const pick = (x: TensorId, number: TensorId) =>
    tensors.unpack(
      tensors.gather(x, TYPE.F64, tensors.cast(number, TYPE.F64, TYPE.I32), TYPE.I32, 1),
      rank,
      2,
    );
  const [rowScores, columnScores] = [pick(row, rowNumber), pick(column, columnNumber)];
  return heads[0].perCore.map((_, core) =>
    sum(
      tensors,
      columnScores.map((ofColumn, s) => {
        const bent = rowScores.map((ofRow, r) => {
          const factor = Float64Array.from(
            { length: rows },
            (_value, i) => heads[i % heads.length].perCore[core][r * rank + s],
          );
          return tensors.multiply(ofRow, tensors.f64([rows, 1], factor));
        });
        return tensors.multiply(sum(tensors, bent), ofColumn);
      }),
    ),
  );
}

/** One after the other. */
function sum(tensors: Tensors, terms: readonly TensorId[]): TensorId {
  return terms.reduce((total, term) => tensors.add(total, term));
}
