import type { ClusterView } from '@ultramem/membership';
import type { KeysMode, Plan } from '@ultramem/planner';
import { codedError } from '@ultramem/protocol';
import { type RowGroup, rowGroups } from './route.ts';
import { describeSlice, type ShardLink } from './shard-link.ts';

/** Who answers for every shard, as of one epoch. A lookup takes one and keeps it to its end. */
export interface RoutingTable {
  readonly epoch: number;
  /** Who may score keys under this plan. */
  readonly keys: KeysMode;
  readonly links: readonly ShardLink[]; // index = shard
  readonly rowGroups: readonly RowGroup[];
}

/**
 * The routing table of a view, in which every shard has an owner that is ready.
 *
 * @param plan null before the first one
 * @param linkOf the way to a member
 * @throws OperatingError NOT_READY before the cluster was complete for the first time or while slices load, SHARD_UNAVAILABLE while one has no owner
 */
export function routingTable(
  view: ClusterView,
  plan: Plan | null,
  workersWanted: number,
  linkOf: (workerId: string) => ShardLink,
): RoutingTable {
  if (plan === null)
    throw codedError(
      'NOT_READY',
      `${view.members.length} of ${workersWanted} workers have joined; expected all before the first lookup; start the others, or wait`,
    );
  const links = plan.slices.map((slice) => {
    const { shard } = slice;
    const owner = view.members.find((member) => member.shard === shard);
    if (owner === undefined)
      throw codedError(
        'SHARD_UNAVAILABLE',
        `${describeSlice(slice)} has no worker; expected one for each of ${plan.slices.length} shards; start a worker, it takes the free place`,
      );
    if (owner.state !== 'ready')
      throw codedError(
        'NOT_READY',
        `worker ${owner.workerId} is still loading shard ${shard}; expected every shard to be ready; ask again in a moment`,
      );
    return linkOf(owner.workerId);
  });
  return { epoch: view.epoch, keys: plan.keys, links, rowGroups: rowGroups(plan.slices) };
}
