import { hiddenFraction, type LookupTiming } from '@ultramem/inference';
import { LatencyWindow } from './latency-window.ts';

/** What this coordinator has done since its start. */
export class Statistics {
  readonly lookupLatency = new LatencyWindow();
  lookups = 0;
  readonly #timing: LookupTiming = { lookupMs: 0, blockedMs: 0 };

  /** One lookup of one memory layer for one batch. */
  countLookup(elapsedMs: number): void {
    this.lookups++;
    this.lookupLatency.add(elapsedMs);
  }

  /** The lookups of one generation or evaluation, and how long its forward passes waited for them. */
  countRun({ lookupMs, blockedMs }: LookupTiming): void {
    this.#timing.lookupMs += lookupMs;
    this.#timing.blockedMs += blockedMs;
  }

  /** Of all runs so far; null before the first lookup. */
  get hiddenFraction(): number | null {
    return this.#timing.lookupMs > 0 ? hiddenFraction(this.#timing) : null;
  }
}
