/** Space to search one grid after the other on the host. */
export class HostGrid {
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
