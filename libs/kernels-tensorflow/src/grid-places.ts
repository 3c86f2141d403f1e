import type { GridRequest } from '@ultramem/kernels';
import { SIDES } from '@ultramem/ultramem';
import type { Binding } from './binding.ts';
import type { GridHead } from './grid-head.ts';
import { boolOf, intOf, TYPE, typeOf, withTensors } from './tensors.ts';

/** Places taken beyond the best k, so that rounding near the edge decides nothing. */
const MARGIN = 8;

/** The device's choice of places, more than k for each token and head. */
export interface BestPlaces {
  places(list: number): ArrayLike<number>;
  /** Whether no other place can reach the total `last`, when the device's scores are off by at most `bound`. */
  isComplete(list: number, last: number, bound: number): boolean;
}

/** Scores the grids of `count` tokens with the summed cores, in f64 on the device, and takes the best places of each. */
export function bestPlacesOnDevice(
  binding: Binding,
  { candidates: { perSide: k, refined }, headCount, rank }: GridRequest,
  heads: readonly GridHead[],
  first: number,
  count: number,
): BestPlaces {
  const lists = count * headCount;
  const taken = Math.min(k * k, k + MARGIN);
  const length = headCount * SIDES * k * rank; // of a token
  const cores = new Float64Array(lists * rank * rank);
  for (let list = 0; list < lists; list++) cores.set(heads[list % headCount].summed, list * rank * rank);
  const { score, place } = withTensors(binding, (tensors) => {
    const sides = tensors.widened(
      [lists, SIDES, k, rank],
      refined.subarray(first * length, (first + count) * length),
    );
    const [rows, columns] = tensors.runMany(
      'Unpack',
      [typeOf('T', TYPE.F64), intOf('num', SIDES), intOf('axis', 1)],
      [sides],
      SIDES,
    );
    const bent = tensors.matmul(TYPE.F64, rows, tensors.f64([lists, rank, rank], cores), false);
    const grid = tensors.reshape(tensors.matmul(TYPE.F64, bent, columns, true), TYPE.F64, [lists, k * k]);
    const [best, places] = tensors.runMany(
      'TopKV2',
      [typeOf('T', TYPE.F64), boolOf('sorted', true)],
      [grid, tensors.i32([], [taken])],
      2,
    );
    return { score: tensors.readF64(best), place: tensors.readI32(places) };
  });
  const rowOf = (list: number) => list - first * headCount;
  return {
    places: (list) => place.subarray(rowOf(list) * taken, (rowOf(list) + 1) * taken),
    isComplete: (list, last, bound) => taken === k * k || last > score[(rowOf(list) + 1) * taken - 1] + bound,
  };
}

/** Space for one grid on the host. */
export class GridScratch {
  readonly #k: number;
  readonly #rank: number;
  readonly #scores: Float64Array; // [k, k] with the summed cores
  readonly #best: Float64Array; // the k best of them so far, best first
  readonly #columns: Float64Array; // [rank, k]

  constructor(k: number, rank: number) {
    this.#k = k;
    this.#rank = rank;
    this.#scores = new Float64Array(k * k);
    this.#best = new Float64Array(k);
    this.#columns = new Float64Array(rank * k);
  }

  /** All places whose score with the summed cores is at most `slack` below the k-th best. */
  places(rows: Float32Array, columns: Float32Array, summed: Float64Array, slack: number): number[] {
    const scores = this.#scores;
    this.#fill(rows, columns, summed);
    const least = this.#kthBest() - slack;
    const places: number[] = [];
    for (let place = 0; place < scores.length; place++) if (scores[place] >= least) places.push(place);
    return places;
  }

  #fill(rows: Float32Array, columns: Float32Array, summed: Float64Array): void {
    const [k, rank, scores, turned] = [this.#k, this.#rank, this.#scores, this.#columns];
    for (let b = 0; b < k; b++) for (let s = 0; s < rank; s++) turned[s * k + b] = columns[b * rank + s];
    scores.fill(0);
    for (let a = 0; a < k; a++)
      for (let s = 0; s < rank; s++) {
        let bent = 0;
        for (let r = 0; r < rank; r++) bent += rows[a * rank + r] * summed[r * rank + s];
        const [at, from] = [a * k, s * k];
        for (let b = 0; b < k; b++) scores[at + b] += bent * turned[from + b];
      }
  }

  #kthBest(): number {
    const [k, scores, best] = [this.#k, this.#scores, this.#best];
    best.fill(Number.NEGATIVE_INFINITY);
    for (let i = 0; i < scores.length; i++) {
      const score = scores[i];
      if (score <= best[k - 1]) continue;
      let place = k - 1;
      for (; place > 0 && best[place - 1] < score; place--) best[place] = best[place - 1];
      best[place] = score;
    }
    return best[k - 1];
  }
}
