import { type ClusterView, type Member, orphanedShards } from '@ultramem/membership';
import { type Plan, type PlanRequest, planPartition, sliceBytes } from '@ultramem/planner';

/** What the cluster is to be cut by: everything of a plan request but the workers. */
export type PlanTerms = Omit<PlanRequest, 'workers'>;

/**
 * The plan over the first `workersWanted` members in order of joining, or null while there are fewer. Later ones stand by.
 *
 * @throws OperatingError PLAN_IMPOSSIBLE
 */
export function planMembers(view: ClusterView, workersWanted: number, terms: PlanTerms): Plan | null {
  if (view.members.length < workersWanted) return null;
  const workers = view.members
    .slice(0, workersWanted)
    .map(({ workerId, capacityBytes }) => ({ id: workerId, capacityBytes }));
  return planPartition({ ...terms, workers });
}

/**
 * Who gets which shard now: the plan's owners first, then for every shard without owner the first member on standby with room
 * for it. A plan outlives its workers: whoever comes takes a free place, and no slice moves.
 */
export function placeShards(
  view: ClusterView,
  plan: Plan,
  terms: PlanTerms,
): { workerId: string; shard: number }[] {
  const standby = new Map(
    view.members.filter((member) => member.shard === null).map((member) => [member.workerId, member]),
  );
  const placed: { workerId: string; shard: number }[] = [];
  const take = (member: Member, shard: number): void => {
    standby.delete(member.workerId);
    placed.push({ workerId: member.workerId, shard });
  };
  const orphans = orphanedShards(view, plan.slices.length);
  const withoutOwner = orphans.filter((shard) => {
    const owner = standby.get(plan.workerIds[shard]);
    if (owner !== undefined && hasRoom(owner, shard, plan, terms)) take(owner, shard);
    return !placed.some((place) => place.shard === shard);
  });
  for (const shard of withoutOwner) {
    const successor = [...standby.values()].find((member) => hasRoom(member, shard, plan, terms));
    if (successor !== undefined) take(successor, shard);
  }
  return placed;
}

function hasRoom(member: Member, shard: number, plan: Plan, terms: PlanTerms): boolean {
  return sliceBytes(terms.geometry, terms.bytes, plan.slices[shard]) <= member.capacityBytes;
}
