import type { Clock } from '@ultramem/environment';

/** Node fires what is to come later than this at once. */
const DELAY_MS_MAX = 2 ** 31 - 1;

/** The clock of this machine. Delays of more than 24 days end after 24 days. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, Math.min(delayMs, DELAY_MS_MAX));
    return () => clearTimeout(timer);
  },
  breathe: () => new Promise((resolve) => setImmediate(resolve)),
};
