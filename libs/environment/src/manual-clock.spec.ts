import { describe, expect, it } from 'vitest';
import { ManualClock } from './manual-clock.ts';

describe('ManualClock', () => {
  it('stands still until it is told to go on', async () => {
    const clock = new ManualClock();
    expect(clock.nowMs()).toBe(0);
    await clock.advance(2.5);
    await clock.advance(0);
    expect(clock.nowMs()).toBe(2.5);
  });

  it('fires what falls due once, by time, then by creation, each at its time', async () => {
    const clock = new ManualClock();
    const fired: string[] = [];
    const fire = (name: string, delayMs: number) =>
      clock.after(delayMs, () => fired.push(`${name} ${clock.nowMs()}`));
    fire('late', 10);
    fire('first', 5);
    fire('second', 5);
    fire('at once', 0);
    fire('in the past', -3);
    await clock.advance(9);
    expect(fired).toEqual(['at once 0', 'in the past 0', 'first 5', 'second 5']);
    await clock.advance(1);
    await clock.advance(100);
    expect(fired.slice(4)).toEqual(['late 10']);
  });

  it('fires what is set on the way, if it falls due as well', async () => {
    const clock = new ManualClock();
    const fired: number[] = [];
    const tick = (): void => {
      fired.push(clock.nowMs());
      clock.after(4, tick);
    };
    clock.after(4, tick);
    await clock.advance(12);
    expect(fired).toEqual([4, 8, 12]);
  });

  it('fires nothing that was cancelled, also from within a timer of the same moment', async () => {
    const clock = new ManualClock();
    const fired: string[] = [];
    const cancel = clock.after(1, () => fired.push('never'));
    cancel();
    cancel();
    clock.after(2, () => cancelLater());
    const cancelLater = clock.after(2, () => fired.push('not either'));
    await clock.advance(3);
    expect(fired).toEqual([]);
  });

  it('lets promises settle after each timer, and breathes without time passing', async () => {
    const clock = new ManualClock();
    const order: string[] = [];
    clock.after(1, () => {
      void clock.breathe().then(() => order.push(`then ${clock.nowMs()}`));
    });
    clock.after(2, () => order.push('next timer'));
    await clock.advance(2);
    expect(order).toEqual(['then 1', 'next timer']);
  });
});
