import { ManualClock } from '@ultramem/environment';
import { describe, expect, it } from 'vitest';
import type { LookupAnswer } from './memory-lookup.ts';
import { createPendingLookups, hiddenFraction } from './pending-lookups.ts';

const answer: LookupAnswer = {
  pooled: Float32Array.of(1),
  candidates: { tokenCount: 0, perSide: 0, index: new Uint32Array(0), refined: new Float32Array(0) },
  selection: {
    tokenCount: 0,
    perToken: 0,
    virtualIndex: new Float64Array(0),
    scores: new Float32Array(0),
    rankScore: new Float32Array(0),
  },
  addresses: { block: new Uint8Array(0), slot: new Uint32Array(0) },
};

function after(clock: ManualClock, delayMs: number, outcome: LookupAnswer | Error): Promise<LookupAnswer> {
  return new Promise((resolve, reject) =>
    clock.after(delayMs, () => (outcome instanceof Error ? reject(outcome) : resolve(outcome))),
  );
}

describe('pending lookups', () => {
  it('count as hidden what the forward pass computed meanwhile', async () => {
    const clock = new ManualClock();
    const lookups = createPendingLookups(clock);
    lookups.start(0, () => after(clock, 10, answer));
    lookups.start(1, () => after(clock, 4, answer));
    await clock.advance(6);
    expect(await lookups.finish(1)).toBe(answer); // it was there already
    const finished = lookups.finish(0);
    await clock.advance(10);
    await finished;
    expect(lookups.timing).toEqual({ lookupMs: 14, blockedMs: 4 });
    expect(hiddenFraction(lookups.timing)).toBeCloseTo(1 - 4 / 14);
  });

  it('reject where they are awaited, and settle in silence where nobody does', async () => {
    const clock = new ManualClock();
    const lookups = createPendingLookups(clock);
    lookups.start(0, () => after(clock, 1, new Error('shard lost')));
    lookups.start(1, () => after(clock, 9, new Error('another')));
    await clock.advance(2);
    await expect(lookups.finish(0)).rejects.toThrow('shard lost');
    let settled = false;
    const settling = lookups.settle().then(() => {
      settled = true;
    });
    await clock.advance(5);
    expect(settled).toBe(false);
    await clock.advance(5);
    await settling;
    expect(settled).toBe(true);
  });

  it('count nothing as hidden when there was none', () => {
    expect(hiddenFraction({ lookupMs: 10, blockedMs: 12 })).toBe(0);
    expect(hiddenFraction({ lookupMs: 0, blockedMs: 0 })).toBe(1);
  });
});
