import { ManualClock } from '@ultramem/environment';
import { describe, expect, it } from 'vitest';
import { createAlarm } from './alarm.ts';

function open(again: (number | null)[] = []) {
  const clock = new ManualClock();
  const rung: number[] = [];
  const alarm = createAlarm(clock, (nowMs) => {
    rung.push(nowMs);
    return again.shift() ?? null;
  });
  return { clock, rung, alarm };
}

describe('an alarm', () => {
  it('rings at the earliest of the times it was set by, once', async () => {
    const { clock, rung, alarm } = open();
    alarm.setBy(30);
    alarm.setBy(10);
    alarm.setBy(20);
    await clock.advance(100);
    expect(rung).toEqual([10]);
  });

  it('rings again when it is told to, also at once for what is past', async () => {
    const { clock, rung, alarm } = open([25, 20]);
    alarm.setBy(10);
    await clock.advance(100);
    expect(rung).toEqual([10, 25, 25]);
  });

  it('does not ring after it was stopped, and can be set anew', async () => {
    const { clock, rung, alarm } = open();
    alarm.setBy(10);
    alarm.stop();
    alarm.setBy(20);
    await clock.advance(15);
    expect(rung).toEqual([]);
    await clock.advance(15);
    expect(rung).toEqual([20]);
  });
});
