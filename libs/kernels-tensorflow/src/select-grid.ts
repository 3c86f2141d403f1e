import { assert } from '@ultramem/invariant';
import type { GridRequest, Kernels } from '@ultramem/kernels';
import { type Selection, SIDES } from '@ultramem/ultramem';

/**
 * The best k of every k x k grid (SEMANTICS 4.4), equal to the reference's to the last bit. All places are scored with the
 * sum of the cores; what comes within rounding of the best k is scored again core by core, in the order of the reference.
 * On the host: a grid is smaller than its way to a device.
 *
 * @param reference for Memory+, whose grid has one addition a place, and where numbers are not finite
 * @throws OperatingError NON_FINITE_SCORE when a grid score is NaN
 */
export async function selectGrid(reference: Kernels['selectGrid'], request: GridRequest): Promise<Selection> {
  const { candidates, headCount, keyCount, rank, cores, coreCount } = request;
  const { tokenCount, perSide: k, index, refined } = candidates;
  if (cores === null) return reference(request);
  assert(
    index.length === tokenCount * headCount * SIDES * k,
    'candidates are [tokenCount, heads, 2, perSide]',
  );
  assert(refined.length === index.length * rank, 'every candidate has a refined score per rank');
  assert(cores.length === coreCount * headCount * rank * rank, 'cores are [coreCount, heads, rank, rank]');
  const entries = tokenCount * headCount * k;
  const selection: Selection = {
    tokenCount,
    perToken: headCount * k,
    virtualIndex: new Float64Array(entries),
    scores: new Float32Array(entries * coreCount),
    rankScore: new Float32Array(entries),
  };
  const heads = Array.from({ length: headCount }, (_, head) => headCores(request, cores, head));
  const grid = new Grid(k, rank);
  for (let list = 0; list < tokenCount * headCount; list++) {
    const { summed, magnitude, perCore } = heads[list % headCount];
    const rowAt = list * SIDES * k;
    const rows = refined.subarray(rowAt * rank, (rowAt + k) * rank);
    const columns = refined.subarray((rowAt + k) * rank, (rowAt + 2 * k) * rank);
    const bound =
      2 ** -51 * (coreCount + 2 * rank + 6) * magnitude * largestRow(rows, rank) * largestRow(columns, rank);
    if (!Number.isFinite(bound)) return reference(request);
    const winners = grid.best(rows, columns, summed, perCore, 2 * bound);
    for (const [j, { position, total, scores }] of winners.entries()) {
      const entry = list * k + j;
      selection.virtualIndex[entry] =
        index[rowAt + Math.floor(position / k)] * keyCount + index[rowAt + k + (position % k)];
      selection.rankScore[entry] = total;
      selection.scores.set(scores, entry * coreCount);
    }
  }
  return selection;
}

/** The cores of a head, their sum, and what bounds a score relative to its row's and column's absolute sums. */
interface HeadCores {
  perCore: Float32Array[]; // [rank, rank] each
  summed: Float64Array; // [rank, rank]
  magnitude: number;
}

function headCores(
  { headCount, rank, coreCount }: GridRequest,
  cores: Float32Array,
  head: number,
): HeadCores {
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
  return { perCore, summed, magnitude };
}

/** Greatest sum of the absolute refined scores of one candidate; NaN when one is. */
function largestRow(refined: Float32Array, rank: number): number {
  let largest = 0;
  for (let at = 0; at < refined.length; at += rank) {
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += Math.abs(refined[at + r]);
    largest = Math.max(largest, sum);
  }
  return largest;
}

interface Winner {
  position: number;
  total: number;
  scores: number[]; // per core
}

/** Scratch space for the grids of one call. */
class Grid {
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

  /** @param slack how far a place may lie below the k-th best with the summed cores and still be among the best k */
  best(
    rows: Float32Array,
    columns: Float32Array,
    summed: Float64Array,
    perCore: Float32Array[],
    slack: number,
  ): Winner[] {
    const scores = this.#scores;
    this.#fill(rows, columns, summed);
    const least = this.#kthBest() - slack;
    const winners: Winner[] = [];
    for (let position = 0; position < scores.length; position++)
      if (scores[position] >= least) winners.push(this.#exact(rows, columns, perCore, position));
    // A stable sort of places in rising order: equal totals stay in the order of their places.
    return winners.sort((a, b) => b.total - a.total).slice(0, this.#k);
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

  /** One place, core by core: `Σ_s (Σ_r row_r core_rs) column_s`. */
  #exact(rows: Float32Array, columns: Float32Array, perCore: Float32Array[], position: number): Winner {
    const [k, rank] = [this.#k, this.#rank];
    const [rowAt, columnAt] = [Math.floor(position / k) * rank, (position % k) * rank];
    let total = 0;
    const scores: number[] = [];
    for (const core of perCore) {
      let score = 0;
      for (let s = 0; s < rank; s++) {
        let bent = 0;
        for (let r = 0; r < rank; r++) bent += rows[rowAt + r] * core[r * rank + s];
        score += bent * columns[columnAt + s];
      }
      scores.push(score);
      total += score;
    }
    return { position, total, scores };
  }
}
