import type { Clock } from './clock.ts';

/** A clock that stands still until it is told to go on. Timers fire in the order (time, creation). */
export class ManualClock implements Clock {
  #nowMs = 0;
  #timers: { atMs: number; action: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, action: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), action };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  breathe(): Promise<void> {
    return Promise.resolve();
  }

  /** Moves time forward by `ms`, firing what falls due, and lets promises settle after each timer. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const due = this.#timers.reduce<{ atMs: number; action: () => void } | null>(
        (first, timer) => (timer.atMs <= untilMs && (!first || timer.atMs < first.atMs) ? timer : first),
        null,
      );
      if (!due) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#nowMs = due.atMs;
      due.action();
      await settle();
    }
    this.#nowMs = untilMs;
    await settle();
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
}
