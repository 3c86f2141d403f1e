import { syntheticCheckpoint, V1_MODEL } from '@ultramem/checkpoint/synthetic';
import { applyEvent, type ClusterView, EMPTY_VIEW } from '@ultramem/membership';
import { type Plan, sliceBytes } from '@ultramem/planner';
import { beforeAll, describe, expect, it } from 'vitest';
import { type PlanTerms, placeShards, planMembers } from './place-shards.ts';
import { planTerms } from './plan-terms.ts';

let terms: PlanTerms;
let plan: Plan;
let need: number;

beforeAll(async () => {
  terms = planTerms(
    await syntheticCheckpoint(V1_MODEL, { seed: 1, dtype: 'F32' }),
    { kind: 'slots' },
    'coordinator',
  );
  plan = planMembers(members('a', 'b'), 2, terms)!;
  need = Math.max(...plan.slices.map((slice) => sliceBytes(terms.geometry, terms.bytes, slice)));
});

function join(view: ClusterView, workerId: string, capacityBytes = 1e9): ClusterView {
  const member = { workerId, instance: workerId, capacityBytes, backend: '', peerName: workerId };
  return applyEvent(view, { kind: 'joined', member });
}

function members(...workerIds: string[]): ClusterView {
  return workerIds.reduce((view, workerId) => join(view, workerId), EMPTY_VIEW);
}

describe('planMembers', () => {
  it('waits for the workers wanted, and plans over the first of them', () => {
    expect(planMembers(members('a'), 2, terms)).toBeNull();
    expect(planMembers(members('a', 'b', 'c'), 2, terms)?.workerIds).toEqual(['a', 'b']);
  });

  it('says when they are too small', () => {
    expect(() => planMembers(join(members('a'), 'b', 1), 2, terms)).toThrow(
      expect.objectContaining({ code: 'PLAN_IMPOSSIBLE' }),
    );
  });
});

describe('placeShards', () => {
  const place = (view: ClusterView) =>
    placeShards(view, plan, terms).map(({ workerId, shard }) => `${workerId}${shard}`);

  it("gives each shard to the plan's owner, others stand by", () => {
    expect(place(members('c', 'b', 'a'))).toEqual(['a0', 'b1']);
  });

  it('gives a shard without owner to the first on standby with room for it', () => {
    let view = members('b');
    expect(place(view)).toEqual(['b1']);
    view = join(join(join(view, 'small', need - 1), 'first'), 'second');
    expect(place(view)).toEqual(['b1', 'first0']);
    view = applyEvent(view, { kind: 'assigned', workerId: 'first', shard: 0 });
    expect(place(view)).toEqual(['b1']);
  });

  it('leaves a shard alone for which nobody has room, its owner included', () => {
    expect(place(join(EMPTY_VIEW, 'a', need - 1))).toEqual([]);
    expect(place(join(EMPTY_VIEW, 'a', need))).toEqual(['a0']);
  });

  it("keeps what is held, even when the plan's owner is back", () => {
    let view = applyEvent(members('c'), { kind: 'assigned', workerId: 'c', shard: 0 });
    view = join(join(view, 'a'), 'd');
    expect(place(view)).toEqual(['a1']);
  });
});
