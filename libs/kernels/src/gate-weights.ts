/**
 * Weights of v2's entries: (gelu of) the pre-score, rounded to f32, times each core's score (SEMANTICS 5.5). One function for
 * whole rows on a worker and for merged column parts on the coordinator, so that both round alike.
 *
 * @param dots `[entries]` complete dot products
 * @param scores `[entries, coreCount]`
 */
export function gateWeights(
  dots: Float64Array,
  scores: Float32Array,
  coreCount: number,
  activation: boolean,
): Float32Array {
  const weights = new Float32Array(scores.length);
  for (let entry = 0; entry < dots.length; entry++) {
    const raw = Math.fround(dots[entry]);
    const gate = activation ? Math.fround(gelu(raw)) : raw;
    for (let core = 0; core < coreCount; core++)
      weights[entry * coreCount + core] = gate * scores[entry * coreCount + core];
  }
  return weights;
}

/** Exact gelu, x (1 + erf(x / sqrt 2)) / 2. */
export function gelu(x: number): number {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

/** Error function to double precision: Maclaurin series near 0, continued fraction of erfc further out. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum) && n < 200; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}
