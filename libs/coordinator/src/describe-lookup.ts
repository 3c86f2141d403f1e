import type { ExplainedLookup } from '@ultramem/inference';
import { present } from '@ultramem/invariant';
import { formatPartition, type Plan } from '@ultramem/planner';
import type { MessageOfKind } from '@ultramem/protocol';
import type { ShardedAnswer } from './sharded-lookup.ts';

export type Explanation = Omit<MessageOfKind<'explanation'>, 'id'>;

/** An explained lookup with what the cluster adds: owners of the winning slots, time per phase, bytes per shard. */
export function describeLookup(
  explained: ExplainedLookup<ShardedAnswer>,
  plan: Plan,
  tokenText: string,
): Explanation {
  const { token, layer, heads, answer } = explained;
  return {
    kind: 'explanation',
    token: { ...token, text: tokenText },
    layer,
    partition: formatPartition(plan.partition),
    scoredBy: answer.scoredBy,
    heads: heads.map((head) => ({
      ...head,
      winners: head.winners.map((winner) => ({ ...winner, shard: ownerOf(plan, winner.slot) })),
    })),
    phases: answer.traffic.phases,
    shards: [...answer.traffic.shards.values()].sort((a, b) => a.shard - b.shard),
  };
}

/** The shard that holds a slot; the first one, where columns are cut. */
function ownerOf(plan: Plan, slot: number): number {
  const owner = plan.slices.find(({ rows }) => slot >= rows.start && slot < rows.end);
  return present(owner, 'a plan covers every slot').shard;
}
