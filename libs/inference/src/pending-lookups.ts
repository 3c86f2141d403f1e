import type { Clock } from '@ultramem/environment';
import { assert } from '@ultramem/invariant';
import type { LookupAnswer } from './memory-lookup.ts';

/** Lookup time of a forward pass, summed over its lookups. */
export interface LookupTiming {
  /** From the start of a lookup to its answer. */
  lookupMs: number;
  /** The part of it during which the forward pass did nothing else. */
  blockedMs: number;
}

/** The share of the lookup time that the forward pass spent computing: 1 - blocked / lookup; 1 when nothing was looked up. */
export function hiddenFraction(timing: LookupTiming): number {
  return timing.lookupMs > 0 ? Math.max(0, 1 - timing.blockedMs / timing.lookupMs) : 1;
}

/** Lookups on their way: started at the block that reads, awaited at the block that writes. */
export interface PendingLookups {
  readonly timing: LookupTiming;
  start(layer: number, begin: () => Promise<LookupAnswer>): void;
  /** @throws what the lookup was rejected with */
  finish(layer: number): Promise<LookupAnswer>;
  /** Waits until nothing is under way any more, whatever the outcome. */
  settle(): Promise<void>;
}

type Outcome = { ok: true; answer: LookupAnswer; endMs: number } | { ok: false; error: unknown };

export function createPendingLookups(clock: Clock): PendingLookups {
  const timing: LookupTiming = { lookupMs: 0, blockedMs: 0 };
  const pending = new Map<number, { startMs: number; outcome: Promise<Outcome> }>();
  const start = (layer: number, begin: () => Promise<LookupAnswer>): void => {
    const startMs = clock.nowMs();
    // An outcome never rejects, so a lookup that fails while the pass fails elsewhere is no unhandled rejection.
    const outcome = begin().then(
      (answer): Outcome => ({ ok: true, answer, endMs: clock.nowMs() }),
      (error: unknown): Outcome => ({ ok: false, error }),
    );
    pending.set(layer, { startMs, outcome });
    timing.blockedMs += clock.nowMs() - startMs; // what the lookup computed before it first waited
  };
  const finish = async (layer: number): Promise<LookupAnswer> => {
    const lookup = pending.get(layer);
    assert(lookup !== undefined, 'a lookup is awaited after it was started');
    const waitFromMs = clock.nowMs();
    const outcome = await lookup.outcome;
    pending.delete(layer);
    if (!outcome.ok) throw outcome.error;
    timing.blockedMs += Math.max(0, outcome.endMs - waitFromMs);
    timing.lookupMs += outcome.endMs - lookup.startMs;
    return outcome.answer;
  };
  const settle = async (): Promise<void> => {
    await Promise.all([...pending.values()].map((lookup) => lookup.outcome));
  };
  return { timing, start, finish, settle };
}
