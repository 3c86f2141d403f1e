import { applyEvent, type ClusterView, EMPTY_VIEW } from '@ultramem/membership';
import type { Plan } from '@ultramem/planner';
import { describe, expect, it } from 'vitest';
import { openLink } from '../test/open-link.ts';
import { routingTable } from './routing-table.ts';

const range = { start: 0, end: 0 };
const slice = (shard: number) => ({
  shard,
  rows: { start: 10 * shard, end: 10 * shard + 10 },
  columns: { start: 0, end: 1 },
  preColumns: range,
  keys: null,
});
const plan: Plan = {
  partition: { kind: 'slots' },
  keys: 'coordinator',
  slices: [slice(0), slice(1)],
  workerIds: ['a', 'b'],
  estimates: [],
  chosenBecause: 'it is the only one',
};

function joined(view: ClusterView, workerId: string): ClusterView {
  const member = { workerId, instance: workerId, capacityBytes: 1, backend: '', peerName: workerId };
  return applyEvent(view, { kind: 'joined', member });
}

function ready(view: ClusterView, workerId: string, shard: number): ClusterView {
  const assigned = applyEvent(joined(view, workerId), { kind: 'assigned', workerId, shard });
  return applyEvent(assigned, { kind: 'ready', workerId, epoch: assigned.epoch });
}

describe('routingTable', () => {
  it('has one way for every shard, in the order of the shards', async () => {
    const links = { a: await openLink(slice(1), 'a'), b: await openLink(slice(0), 'b') };
    const view = ready(ready(EMPTY_VIEW, 'a', 1), 'b', 0);
    const table = routingTable(view, plan, 2, (workerId) => (workerId === 'a' ? links.a : links.b));
    expect(table.epoch).toBe(view.epoch);
    expect(table.keys).toBe('coordinator');
    expect(table.links).toEqual([links.b, links.a]);
  });

  const refused = (view: ClusterView, withPlan: Plan | null) => () =>
    routingTable(view, withPlan, 2, (workerId) => {
      throw new Error(`asked for the way to ${workerId}`);
    });

  it('says how many workers are missing before the plan', () => {
    expect(refused(joined(EMPTY_VIEW, 'a'), null)).toThrow(
      expect.objectContaining({
        code: 'NOT_READY',
        retriable: true,
        message: expect.stringContaining('1 of 2 workers'),
      }),
    );
  });

  it('names a shard without owner', () => {
    expect(refused(EMPTY_VIEW, plan)).toThrow(
      expect.objectContaining({
        code: 'SHARD_UNAVAILABLE',
        retriable: true,
        message: expect.stringContaining('shard 0: rows 0 to 9'),
      }),
    );
  });

  it('names an owner that still loads', () => {
    const view = applyEvent(joined(EMPTY_VIEW, 'a'), { kind: 'assigned', workerId: 'a', shard: 0 });
    expect(refused(view, plan)).toThrow(
      expect.objectContaining({
        code: 'NOT_READY',
        message: expect.stringContaining('worker a is still loading shard 0'),
      }),
    );
  });
});
