import type { Clock } from '@ultramem/environment';
import {
  evaluate,
  explainLookup,
  generate,
  hiddenFraction,
  type LookupRequest,
  type Model,
  parseSampling,
  WINDOWS_PER_PASS,
} from '@ultramem/inference';
import { assert, present } from '@ultramem/invariant';
import type { Plan } from '@ultramem/planner';
import { codedError, type MessageOfKind, type Request } from '@ultramem/protocol';
import type { Tokenizer } from '@ultramem/tokenizer';
import type { AnswerBody, RequestContext } from '@ultramem/transport';
import type { Cluster } from './cluster.ts';
import type { ClusterStatus } from './describe-cluster.ts';
import { describeLookup } from './describe-lookup.ts';
import { createRunBudget, type RunBudget } from './run-budget.ts';
import type { ShardedAnswer } from './sharded-lookup.ts';
import type { Statistics } from './statistics.ts';

/** What clients can ask for. */
export interface ClientServices {
  model: Model;
  /** The model's own, with what it cost. */
  lookUp: (request: LookupRequest) => Promise<ShardedAnswer>;
  tokenizer: Tokenizer;
  cluster: Cluster;
  status: () => Promise<ClusterStatus>;
  statistics: Statistics;
}

/** Answers the requests of clients; one for all connections, because the limit on runs is the coordinator's. */
export function createClientServer(
  services: ClientServices,
): (request: Request, context: RequestContext) => Promise<AnswerBody> {
  const { model, tokenizer } = services;
  const budget = createRunBudget(model.dense.config);
  return async (request, context) => {
    switch (request.kind) {
      case 'generate':
        return serveGenerate(services, budget, request, context);
      case 'evaluate': {
        const window = Math.min(request.contextLength, request.tokenIds.length);
        const windows = Array.from({ length: WINDOWS_PER_PASS }, () => window);
        return budget.run(windows, () => serveEvaluate(services, request, context));
      }
      case 'tokenize':
        return { kind: 'tokens', tokenIds: Uint32Array.from(tokenizer.encode(request.text)) };
      case 'explain':
        return serveExplain(services, budget, request);
      case 'status':
        return services.status();
      default:
        assert(false, `${request.kind} is not accepted from clients`);
    }
  };
}

function serveGenerate(
  services: ClientServices,
  budget: RunBudget,
  request: MessageOfKind<'generate'>,
  context: RequestContext,
): Promise<AnswerBody> {
  const prompts = request.prompts.map(
    ({ text, ids }) => ids ?? services.tokenizer.encode(present(text, 'a prompt has ids or text')),
  );
  const lengths = prompts.map((prompt) => prompt.length + request.maxTokens);
  return budget.run(lengths, () => continuePrompts(services, prompts, request, context));
}

async function continuePrompts(
  { model, tokenizer, statistics }: ClientServices,
  prompts: readonly (readonly number[])[],
  request: MessageOfKind<'generate'>,
  context: RequestContext,
): Promise<AnswerBody> {
  const startMs = model.clock.nowMs();
  const streams = prompts.map(() => tokenizer.createStream());
  const counts = prompts.map(() => 0);
  const { temperature, topK, topP, seed, stopAtEos } = request;
  const sampling = parseSampling({ temperature, topK: topK === 0 ? undefined : topK, topP });
  const tokens = generate(model, { prompts, maxNewTokens: request.maxTokens, sampling, seed, stopAtEos });
  for (;;) {
    const next = await tokens.next();
    stopWhenUnwanted(context, model.clock);
    if (next.done) {
      const { finishReasons, timing } = next.value;
      statistics.countRun(timing);
      return {
        kind: 'generated',
        sequences: finishReasons.map((finish, sequence) => ({
          finish,
          tokenCount: counts[sequence],
          rest: streams[sequence].end(),
        })),
        elapsedMs: model.clock.nowMs() - startMs,
        lookupMs: timing.lookupMs,
        hiddenFraction: hiddenFraction(timing),
      };
    }
    const { sequence, tokenId } = next.value;
    counts[sequence]++;
    context.sendPart({ kind: 'token', sequence, tokenId, text: streams[sequence].push(tokenId) });
  }
}

async function serveEvaluate(
  { model, statistics }: ClientServices,
  request: MessageOfKind<'evaluate'>,
  context: RequestContext,
): Promise<AnswerBody> {
  const startMs = model.clock.nowMs();
  const { tokenIds, contextLength, withMemory } = request;
  const { lossSum, tokenCount, timing } = await evaluate(model, {
    tokenIds,
    contextLength,
    withMemory,
    onProgress: () => stopWhenUnwanted(context, model.clock),
  });
  statistics.countRun(timing);
  return {
    kind: 'evaluation',
    lossSum,
    tokenCount,
    elapsedMs: model.clock.nowMs() - startMs,
    hiddenFraction: hiddenFraction(timing),
  };
}

async function serveExplain(
  { model, lookUp, tokenizer, cluster }: ClientServices,
  budget: RunBudget,
  request: MessageOfKind<'explain'>,
): Promise<AnswerBody> {
  const { position, layer } = request;
  const tokenIds = tokenizer.encode(request.text);
  const plan = readyPlan(cluster);
  const explained = await budget.run([tokenIds.length], () =>
    explainLookup(model, lookUp, { tokenIds, position, layer }),
  );
  return describeLookup(explained, plan, tokenizer.decode([explained.token.tokenId]));
}

/** Nobody waits any more: computing on would only slow the others. */
function stopWhenUnwanted(context: RequestContext, clock: Clock): void {
  if (context.isCancelled())
    throw codedError('CANCELLED', 'the client gave the request up; expected it to wait; ask again');
  // A client that is frozen or cut off gives nothing up.
  if (clock.nowMs() > context.deadlineAtMs)
    throw codedError(
      'DEADLINE_EXCEEDED',
      'the answer took longer than its deadline; expected less work or more time; ask for less, or allow more',
    );
}

/** The plan of a cluster in which every shard answers; says what is missing otherwise. */
function readyPlan(cluster: Cluster): Plan {
  cluster.routing();
  assert(cluster.plan !== null, 'a cluster with routes has a plan');
  return cluster.plan;
}
