import type { Clock } from '@ultramem/environment';

/** One timer for the deadlines of many, most of which are over long before. */
export interface Alarm {
  /** Rings at `atMs` or earlier. */
  setBy(atMs: number): void;
  stop(): void;
}

/**
 * Requests set and cancel a timer each otherwise, thousands in a second, of which hardly any rings.
 *
 * @param ring what to do at `nowMs`; answers when to ring again, or null. It may come early, when what it was set for is over.
 */
export function createAlarm(clock: Clock, ring: (nowMs: number) => number | null): Alarm {
  let setForMs = Number.POSITIVE_INFINITY;
  let cancel = (): void => {};
  const setBy = (atMs: number): void => {
    if (atMs >= setForMs) return;
    cancel();
    setForMs = atMs;
    cancel = clock.after(Math.max(0, atMs - clock.nowMs()), () => {
      setForMs = Number.POSITIVE_INFINITY;
      const nextMs = ring(clock.nowMs());
      if (nextMs !== null) setBy(nextMs);
    });
  };
  return {
    setBy,
    stop: () => {
      cancel();
      setForMs = Number.POSITIVE_INFINITY;
    },
  };
}
