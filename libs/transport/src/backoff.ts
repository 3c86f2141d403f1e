import type { Random } from '@ultramem/environment';

export interface BackoffOptions {
  /** Upper bound of the first delay. */
  firstMs: number;
  /** Upper bound of every delay. */
  maxMs: number;
}

/**
 * How long to wait before retry number `attempt` (0 is the first): the bound doubles with each attempt, and the delay is
 * drawn from its upper half, so that many peers that lost the same server do not return in step.
 */
export function backoffMs(attempt: number, { firstMs, maxMs }: BackoffOptions, random: Random): number {
  const boundMs = Math.min(maxMs, firstMs * 2 ** attempt);
  return boundMs * (0.5 + 0.5 * random.unit());
}
