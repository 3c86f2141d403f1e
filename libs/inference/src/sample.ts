import type { Random } from '@ultramem/environment';
import { assert, OperatingError } from '@ultramem/invariant';
import { topK as bestOf } from '@ultramem/ultramem';

/** How the next token is drawn. Filters apply in the order temperature, top-k, top-p. */
export interface Sampling {
  /** 0 takes the best token. */
  temperature: number;
  /** Draw from that many best tokens; null from all. */
  topK: number | null;
  /** Draw from the fewest best tokens whose probabilities reach this sum; 1 from all. */
  topP: number;
}

/**
 * Checks the options of a request and fills in the defaults: greedy; with a temperature, from all tokens.
 *
 * @throws OperatingError USAGE naming the option
 */
export function parseSampling(options: {
  temperature?: number | undefined;
  topK?: number | undefined;
  topP?: number | undefined;
}): Sampling {
  const { temperature = 0, topK = null, topP = 1 } = options;
  if (!(temperature >= 0 && temperature <= 100))
    throw usage(`temperature is ${temperature}; expected a number of 0 (greedy) to 100; correct it`);
  if (topK !== null && !(Number.isSafeInteger(topK) && topK >= 1))
    throw usage(`top-k is ${topK}; expected a whole number of at least 1; correct it or leave it out`);
  if (!(topP > 0 && topP <= 1))
    throw usage(`top-p is ${topP}; expected a number above 0 and at most 1; correct it or leave it out`);
  return { temperature, topK, topP };
}

/** The best token of `logits[first .. first + count - 1]`; the lowest id where several are best. */
export function greedyToken(logits: Float32Array, first: number, count: number): number {
  let best = 0;
  for (let id = 1; id < count; id++) if (logits[first + id] > logits[first + best]) best = id;
  return best;
}

/** Draws a token from `logits[first .. first + count - 1]`. Takes one number from `random`, or none when greedy. */
export function sampleToken(
  logits: Float32Array,
  row: { first: number; count: number },
  sampling: Sampling,
  random: Random,
): number {
  const { first, count } = row;
  const best = greedyToken(logits, first, count);
  if (sampling.temperature === 0) return best;
  const weights = new Float64Array(count); // probabilities times an unknown factor; the best token's is 1
  for (let id = 0; id < count; id++)
    weights[id] = Math.exp((logits[first + id] - logits[first + best]) / sampling.temperature);
  const ids = likelyTokens(weights, sampling);
  let total = 0;
  for (const id of ids) total += weights[id];
  let left = random.unit() * total;
  for (const id of ids) {
    left -= weights[id];
    if (left < 0) return id;
  }
  return ids[ids.length - 1]; // rounding
}

/** The tokens that top-k and top-p leave, best first where one of them applies. */
function likelyTokens(weights: Float64Array, { topK, topP }: Sampling): Uint32Array {
  const all = Uint32Array.from(weights, (_, id) => id);
  if (topK !== null && topK < weights.length) {
    const kept = new Uint32Array(topK);
    bestOf(weights, weights.length, topK, kept, 0);
    return topP < 1 ? nucleus(kept, weights, topP) : kept;
  }
  if (topP === 1) return all;
  let total = 0;
  for (const weight of weights) total += weight;
  // Tokens rarer than this weigh less than 1 - p together, so the nucleus ends before them: they need no sorting.
  const rare = ((1 - topP) * total) / weights.length;
  const common = all.filter((id) => weights[id] >= rare).sort((a, b) => weights[b] - weights[a] || a - b);
  return nucleus(common, weights, topP, total);
}

/** The shortest start of `sorted` with a share of at least `topP`. */
function nucleus(sorted: Uint32Array, weights: Float64Array, topP: number, total?: number): Uint32Array {
  const whole = total ?? sorted.reduce((sum, id) => sum + weights[id], 0);
  let sum = 0;
  for (let count = 0; count < sorted.length; count++) {
    sum += weights[sorted[count]];
    if (sum >= topP * whole) return sorted.subarray(0, count + 1);
  }
  assert(sorted.length > 0, 'the best token is always kept');
  return sorted;
}

function usage(message: string): OperatingError {
  return new OperatingError('USAGE', message);
}
