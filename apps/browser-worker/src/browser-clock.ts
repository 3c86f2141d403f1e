import type { Clock } from '@ultramem/environment';

/** What is to come later than this, timers of browsers fire at once. */
const DELAY_MS_MAX = 2 ** 31 - 1;

/** The clock of the page. In a hidden tab browsers let timers fire once in a second, or in a minute. */
export const browserClock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, Math.min(delayMs, DELAY_MS_MAX));
    return () => clearTimeout(timer);
  },
  // Messages are not held back in hidden tabs, as timers are.
  breathe: () =>
    new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    }),
};
