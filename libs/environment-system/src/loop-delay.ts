import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { LoopDelay } from '@ultramem/environment';

/** A timer this often notes when it should have fired. */
const RESOLUTION_MS = 10;

/** Watches the event loop of this process from now on. Null until the timer has fired. */
export function watchEventLoop(): () => LoopDelay | null {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  // Node counts from one firing to the next, in nanoseconds, so a loop that is never late shows the resolution.
  const delayMs = (intervalNs: number): number => Math.max(0, intervalNs / 1e6 - RESOLUTION_MS);
  return () =>
    histogram.count === 0
      ? null
      : { p99Ms: delayMs(histogram.percentile(99)), maxMs: delayMs(histogram.max) };
}
