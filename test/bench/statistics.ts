/** Where most of the samples lie. */
export interface Spread {
  median: number;
  p10: number;
  p90: number;
}

export function spreadOf(samples: readonly number[]): Spread {
  return { median: quantile(samples, 0.5), p10: quantile(samples, 0.1), p90: quantile(samples, 0.9) };
}

/** Linear between the two nearest samples; 0 gives the smallest, 1 the largest. */
export function quantile(samples: readonly number[], share: number): number {
  if (samples.length === 0) throw new RangeError('no samples have no quantile');
  const sorted = Float64Array.from(samples).sort();
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (place - below) * (sorted[above]! - sorted[below]!);
}

/** Length of the difference over the length of `want`. */
export function relativeError(found: ArrayLike<number>, want: ArrayLike<number>): number {
  let error = 0;
  let size = 0;
  for (let i = 0; i < want.length; i++) {
    error += (found[i]! - want[i]!) ** 2;
    size += want[i]! ** 2;
  }
  return Math.sqrt(error / size);
}

/** Samples of one side: `[round][run]`, milliseconds. */
export type Rounds = readonly (readonly number[])[];

/**
 * How many times as long `theirs` took as `ours`: the ratio of the medians of all samples, and how the rounds' own ratios of
 * medians spread. Rounds alternate, so what disturbs the machine for seconds disturbs both sides of a round.
 */
export function ratioOf(ours: Rounds, theirs: Rounds): Spread {
  const perRound = ours.map((samples, round) => quantile(theirs[round]!, 0.5) / quantile(samples, 0.5));
  return {
    median: quantile(theirs.flat(), 0.5) / quantile(ours.flat(), 0.5),
    p10: quantile(perRound, 0.1),
    p90: quantile(perRound, 0.9),
  };
}
