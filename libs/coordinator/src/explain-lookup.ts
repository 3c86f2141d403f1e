import { createKvCache, forward, type LookupRequest, type Model } from '@ultramem/inference';
import { present } from '@ultramem/invariant';
import { formatPartition, type Plan } from '@ultramem/planner';
import { codedError, type MessageOfKind } from '@ultramem/protocol';
import { collapseScore, parseInsertions, SIDES } from '@ultramem/ultramem';
import type { ShardedAnswer } from './sharded-lookup.ts';

export type Explanation = Omit<MessageOfKind<'explanation'>, 'id'>;

/**
 * Runs a text through the model and tells how one token's lookup in one memory layer went (null: last token, first layer).
 *
 * @throws OperatingError TOKEN_OUT_OF_RANGE for a position or layer that is not there, and those of `forward`
 */
export async function explainLookup(
  model: Omit<Model, 'lookUp'>,
  lookUp: (request: LookupRequest) => Promise<ShardedAnswer>,
  plan: Plan,
  asked: {
    tokenIds: readonly number[];
    tokenText: (tokenId: number) => string;
    position: number | null;
    layer: number | null;
  },
): Promise<Explanation> {
  const { tokenIds, tokenText } = asked;
  const position = asked.position ?? tokenIds.length - 1;
  const layer = asked.layer ?? 0;
  if (tokenIds.length === 0)
    throw codedError('PROMPT_EMPTY', 'the text has no tokens; expected at least one; write some text');
  if (position < 0 || position >= tokenIds.length)
    throw codedError(
      'TOKEN_OUT_OF_RANGE',
      `position ${position} is not in the text of ${tokenIds.length} tokens; expected 0 to ${tokenIds.length - 1}; correct --position`,
    );
  if (layer >= model.memoryLayers.length)
    throw codedError(
      'TOKEN_OUT_OF_RANGE',
      `memory layer ${layer} is not in the model; expected 0 to ${model.memoryLayers.length - 1}; correct --layer`,
    );
  let answer: ShardedAnswer | null = null;
  const watched: Model = {
    ...model,
    lookUp: async (request) => {
      const found = await lookUp(request);
      if (request.layer === layer) answer = found;
      return found;
    },
  };
  // Only the asked token goes through the explained pass, so that phases and bytes are those of one token.
  const cache = createKvCache(model.dense.config);
  if (position > 0)
    await forward(
      { ...model, lookUp },
      { sequences: [{ cache, tokenIds: tokenIds.slice(0, position) }], logits: 'last' },
    );
  await forward(watched, { sequences: [{ cache, tokenIds: [tokenIds[position]] }], logits: 'last' });
  if (answer === null)
    throw codedError(
      'TOKEN_OUT_OF_RANGE',
      `memory layer ${layer} is never looked up, because its output is replaced before it is added; expected a layer that matters; choose another --layer`,
    );
  const insertion = parseInsertions(model.dense.config)[layer];
  return {
    kind: 'explanation',
    token: { position, tokenId: tokenIds[position], text: tokenText(tokenIds[position]) },
    layer: { number: layer, ...insertion },
    ...describeAnswer(model, plan, layer, answer),
  };
}

function describeAnswer(
  model: Omit<Model, 'lookUp'>,
  plan: Plan,
  layer: number,
  answer: ShardedAnswer,
): Omit<Explanation, 'kind' | 'token' | 'layer'> {
  const { geometry, collapse } = model.memoryLayers[layer];
  const { headCount, topK, rank, keyCount, coreCount } = geometry;
  const { candidates, selection, addresses, traffic } = answer;
  const keys = (head: number, side: number) =>
    Array.from({ length: topK }, (_, j) => {
      const entry = (head * SIDES + side) * topK + j;
      const score = collapseScore(
        candidates.refined,
        entry * rank,
        side === 0 ? collapse.row : collapse.column,
        head * rank,
        rank,
      );
      return { index: candidates.index[entry], score };
    });
  return {
    partition: formatPartition(plan.partition),
    scoredBy: answer.scoredBy,
    heads: Array.from({ length: headCount }, (_, head) => ({
      rows: keys(head, 0),
      columns: keys(head, 1),
      winners: Array.from({ length: topK }, (__, j) => {
        const i = head * topK + j;
        const virtualIndex = selection.virtualIndex[i];
        const slot = addresses.slot[i];
        return {
          virtualIndex,
          row: Math.floor(virtualIndex / keyCount),
          column: virtualIndex % keyCount,
          score: selection.rankScore[i],
          weight: selection.scores[i * coreCount],
          block: addresses.block[i],
          slot,
          shard: ownerOf(plan, slot),
        };
      }),
    })),
    phases: traffic.phases,
    shards: [...traffic.shards]
      .sort(([a], [b]) => a - b)
      .map(([shard, counts]) => ({ shard, workerId: plan.workerIds[shard], ...counts })),
  };
}

/** The shard that holds a slot; the first one, where columns are cut. */
function ownerOf(plan: Plan, slot: number): number {
  const owner = plan.slices.find(({ rows }) => slot >= rows.start && slot < rows.end);
  return present(owner, 'a plan covers every slot').shard;
}
