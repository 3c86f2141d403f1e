import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyEvent, type ClusterView, EMPTY_VIEW, orphanedShards, type ViewEvent } from './view.ts';

const person = (workerId: string) => ({
  workerId,
  instance: `${workerId}-1`,
  capacityBytes: 1,
  backend: 'reference',
  peerName: 'memory',
});

describe('applyEvent', () => {
  it('takes a worker from joining to ready and back to gone', () => {
    let view = applyEvent(EMPTY_VIEW, { kind: 'joined', member: person('a') });
    expect(view.members[0]).toMatchObject({ state: 'standby', shard: null });
    view = applyEvent(view, { kind: 'assigned', workerId: 'a', shard: 0 });
    expect(view.members[0]).toMatchObject({ state: 'loading', shard: 0, epoch: 2 });
    view = applyEvent(view, { kind: 'ready', workerId: 'a', epoch: 2 });
    expect(view.members[0]?.state).toBe('ready');
    view = applyEvent(view, { kind: 'left', workerId: 'a' });
    expect(view).toEqual({ epoch: 4, members: [] });
  });

  it('ignores a ready of an assignment that is over', () => {
    let view = applyEvent(EMPTY_VIEW, { kind: 'joined', member: person('a') });
    view = applyEvent(view, { kind: 'assigned', workerId: 'a', shard: 0 });
    view = applyEvent(view, { kind: 'left', workerId: 'a' });
    view = applyEvent(view, { kind: 'joined', member: person('a') });
    view = applyEvent(view, { kind: 'assigned', workerId: 'a', shard: 1 });
    expect(applyEvent(view, { kind: 'ready', workerId: 'a', epoch: 2 })).toBe(view);
  });

  it('stops at a second owner of a shard and at a second worker of one name', () => {
    let view = applyEvent(EMPTY_VIEW, { kind: 'joined', member: person('a') });
    expect(() => applyEvent(view, { kind: 'joined', member: person('a') })).toThrow('unique');
    view = applyEvent(view, { kind: 'joined', member: person('b') });
    view = applyEvent(view, { kind: 'assigned', workerId: 'a', shard: 0 });
    expect(() => applyEvent(view, { kind: 'assigned', workerId: 'b', shard: 0 })).toThrow('one owner');
  });

  it('never gives a shard to two workers and never lowers the epoch, whatever happens', () => {
    const ids = ['a', 'b', 'c'];
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('join', 'assign', 'ready', 'leave'), fc.constantFrom(...ids))),
        (steps) => {
          let view: ClusterView = EMPTY_VIEW;
          for (const [what, workerId] of steps) {
            const before: ClusterView = view;
            const member = view.members.find((other) => other.workerId === workerId);
            const orphan = orphanedShards(view, 2)[0];
            let event: ViewEvent | null = null;
            if (what === 'join' && !member) event = { kind: 'joined', member: person(workerId) };
            if (what === 'assign' && member?.shard === null && orphan !== undefined)
              event = { kind: 'assigned', workerId, shard: orphan };
            if (what === 'ready' && member) event = { kind: 'ready', workerId, epoch: member.epoch };
            if (what === 'leave' && member) event = { kind: 'left', workerId };
            if (event) view = applyEvent(view, event);
            const held = view.members.map((other) => other.shard).filter((shard) => shard !== null);
            expect(new Set(held).size).toBe(held.length);
            expect(view.epoch).toBeGreaterThanOrEqual(before.epoch);
          }
        },
      ),
    );
  });
});
