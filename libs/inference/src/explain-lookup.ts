import { assert, OperatingError, present } from '@ultramem/invariant';
import { collapseScore, type Insertion, parseInsertions, SIDES } from '@ultramem/ultramem';
import { forward, type Model } from './forward.ts';
import { createKvCache } from './kv-cache.ts';
import type { MemoryLayer } from './load-memory-layers.ts';
import type { LookupAnswer, LookupRequest } from './memory-lookup.ts';

/** One token's lookup in one memory layer, told; `answer` is what the tables gave. */
export interface ExplainedLookup<A extends LookupAnswer> {
  token: { position: number; tokenId: number };
  layer: { number: number } & Insertion;
  heads: ExplainedHead[];
  answer: A;
}

/** Best first. */
export interface ExplainedHead {
  rows: ExplainedKey[];
  columns: ExplainedKey[];
  winners: ExplainedWinner[];
}

export interface ExplainedKey {
  index: number;
  /** Collapsed. */
  score: number;
}

export interface ExplainedWinner {
  virtualIndex: number;
  row: number;
  column: number;
  /** What ranked it. */
  score: number;
  /** Of its first core. */
  weight: number;
  block: number;
  slot: number;
}

/**
 * Runs a text through the model and tells how one token's lookup in one memory layer went (null: last token, first layer).
 *
 * @throws OperatingError PROMPT_EMPTY, TOKEN_OUT_OF_RANGE for a position or layer that is not there, and those of `forward`
 */
export async function explainLookup<A extends LookupAnswer>(
  model: Omit<Model, 'lookUp'>,
  lookUp: (request: LookupRequest) => Promise<A>,
  asked: { tokenIds: readonly number[]; position: number | null; layer: number | null },
): Promise<ExplainedLookup<A>> {
  const { tokenIds } = asked;
  const position = asked.position ?? tokenIds.length - 1;
  const layer = asked.layer ?? 0;
  checkAsked(model, tokenIds, position, layer);
  const answers: A[] = [];
  const watched: Model = {
    ...model,
    lookUp: async (request) => {
      const explain = request.layer === layer;
      const found = await lookUp({ ...request, explain });
      if (explain) answers.push(found);
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
  if (answers.length === 0)
    throw outOfRange(
      `memory layer ${layer} is never looked up, because its output is replaced before it is added; expected a layer that matters; choose another --layer`,
    );
  assert(answers.length === 1, 'a layer is looked up once a pass');
  const [answer] = answers;
  return {
    token: { position, tokenId: tokenIds[position] },
    layer: { number: layer, ...parseInsertions(model.dense.config)[layer] },
    heads: explainHeads(model.memoryLayers[layer], answer),
    answer,
  };
}

function checkAsked(
  model: Omit<Model, 'lookUp'>,
  tokenIds: readonly number[],
  position: number,
  layer: number,
): void {
  if (tokenIds.length === 0)
    throw new OperatingError(
      'PROMPT_EMPTY',
      'the text has no tokens; expected at least one; write some text',
    );
  if (position < 0 || position >= tokenIds.length)
    throw outOfRange(
      `position ${position} is not in the text of ${tokenIds.length} tokens; expected 0 to ${tokenIds.length - 1}; correct --position`,
    );
  if (model.memoryLayers.length === 0)
    throw outOfRange('the model has no memory layers; expected at least one to explain; take another model');
  if (layer >= model.memoryLayers.length)
    throw outOfRange(
      `memory layer ${layer} is not in the model; expected 0 to ${model.memoryLayers.length - 1}; correct --layer`,
    );
}

/** Candidates and winners of an answer for one token. */
function explainHeads({ geometry, collapse }: MemoryLayer, answer: LookupAnswer): ExplainedHead[] {
  const { headCount, topK, rank, keyCount, coreCount } = geometry;
  const { selection, addresses } = answer;
  const candidates = present(answer.candidates, 'an explained lookup shows its candidates');
  const keys = (head: number, side: number): ExplainedKey[] =>
    Array.from({ length: topK }, (_, j) => {
      const entry = (head * SIDES + side) * topK + j;
      const vector = side === 0 ? collapse.row : collapse.column;
      const score = collapseScore(candidates.refined, entry * rank, vector, head * rank, rank);
      return { index: candidates.index[entry], score };
    });
  const winner = (i: number): ExplainedWinner => {
    const virtualIndex = selection.virtualIndex[i];
    return {
      virtualIndex,
      row: Math.floor(virtualIndex / keyCount),
      column: virtualIndex % keyCount,
      score: selection.rankScore[i],
      weight: selection.scores[i * coreCount],
      block: addresses.block[i],
      slot: addresses.slot[i],
    };
  };
  return Array.from({ length: headCount }, (_, head) => ({
    rows: keys(head, 0),
    columns: keys(head, 1),
    winners: Array.from({ length: topK }, (__, j) => winner(head * topK + j)),
  }));
}

function outOfRange(message: string): OperatingError {
  return new OperatingError('TOKEN_OUT_OF_RANGE', message);
}
