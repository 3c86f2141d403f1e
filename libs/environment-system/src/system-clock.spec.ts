import { describe, expect, it } from 'vitest';
import { systemClock } from './system-clock.ts';

const after = (delayMs: number) => new Promise<void>((resolve) => void systemClock.after(delayMs, resolve));

describe('systemClock', () => {
  it('counts milliseconds with fractions, and never back', () => {
    const times = Array.from({ length: 1_000 }, () => systemClock.nowMs());
    for (const [i, time] of times.slice(1).entries()) expect(time).toBeGreaterThanOrEqual(times[i]);
    expect(times.some((time) => !Number.isInteger(time))).toBe(true);
  });

  it('calls once, not before its time', async () => {
    const startMs = systemClock.nowMs();
    let calls = 0;
    systemClock.after(5, () => calls++);
    await after(20);
    expect(calls).toBe(1);
    expect(systemClock.nowMs() - startMs).toBeGreaterThanOrEqual(19);
  });

  it('does not call what was cancelled', async () => {
    let calls = 0;
    const cancel = systemClock.after(1, () => calls++);
    cancel();
    cancel();
    await after(10);
    expect(calls).toBe(0);
  });

  it('does not call at once what lies beyond the longest timer', async () => {
    let calls = 0;
    const cancels = [2 ** 31, Number.POSITIVE_INFINITY].map((delayMs) =>
      systemClock.after(delayMs, () => calls++),
    );
    await after(10);
    for (const cancel of cancels) cancel();
    expect(calls).toBe(0);
  });

  it('breathes in a later turn, in which what waits is served first', async () => {
    const order: string[] = [];
    setImmediate(() => order.push('what waited'));
    await systemClock.breathe();
    order.push('breathed');
    expect(order).toEqual(['what waited', 'breathed']);
  });
});
