import { assert } from '@ultramem/invariant';
import type { Range } from '@ultramem/ultramem';

/**
 * Cuts `0 .. length - 1` into one consecutive range per weight, by largest remainder: every range is within one of
 * length * weight / total, except that none is empty and those that would be take their one element from the others. Equal
 * remainders favour the earlier part, so the same input gives the same cut everywhere. The caller has checked that
 * `length >= weights.length`.
 */
export function splitByWeight(length: number, weights: readonly number[]): Range[] {
  assert(weights.length > 0 && length >= weights.length, 'there is an element for every part');
  assert(
    weights.every((weight) => Number.isFinite(weight) && weight > 0),
    'weights are positive',
  );
  const quotas = quotasOfAtLeastOne(length, weights);
  const lengths = quotas.map(Math.floor);
  const left = length - lengths.reduce((sum, part) => sum + part, 0);
  const byRemainder = quotas
    .map((quota, part) => ({ part, remainder: quota - Math.floor(quota) }))
    .sort((a, b) => b.remainder - a.remainder || a.part - b.part);
  assert(left >= 0 && left <= byRemainder.length, 'rounding down loses less than one per part');
  for (const { part } of byRemainder.slice(0, left)) lengths[part]++;
  let start = 0;
  return lengths.map((partLength) => {
    const range = { start, end: start + partLength };
    start = range.end;
    return range;
  });
}

/** Proportional shares of `length`; those below one are raised to one and the rest is shared anew. */
function quotasOfAtLeastOne(length: number, weights: readonly number[]): number[] {
  const raised = new Set<number>();
  for (;;) {
    const total = weights.reduce((sum, weight, part) => (raised.has(part) ? sum : sum + weight), 0);
    const toShare = length - raised.size;
    const quotas = weights.map((weight, part) => (raised.has(part) ? 1 : (toShare * weight) / total));
    // Rounding can push a share of exactly one below it; raising it then changes nothing.
    const tooSmall = quotas.flatMap((quota, part) => (quota < 1 ? [part] : []));
    if (tooSmall.length === 0) return quotas;
    for (const part of tooSmall) raised.add(part);
  }
}
