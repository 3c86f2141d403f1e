const SAMPLES_MAX = 1024;

/** The last 1,024 durations of something, for percentiles that show what is happening now rather than since the start. */
export class LatencyWindow {
  readonly #samplesMs: number[] = [];
  #next = 0;

  add(ms: number): void {
    this.#samplesMs[this.#next] = ms;
    this.#next = (this.#next + 1) % SAMPLES_MAX;
  }

  /** The nearest-rank percentile in milliseconds, or null before the first sample. */
  percentileMs(percent: number): number | null {
    if (this.#samplesMs.length === 0) return null;
    const sorted = [...this.#samplesMs].sort((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)];
  }
}
