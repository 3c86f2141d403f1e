import type { Clock } from '@ultramem/environment';
import {
  type LookupAnswer,
  type LookupRequest,
  type MemoryLayer,
  selectByKeys,
  selectSlots,
} from '@ultramem/inference';
import { assert } from '@ultramem/invariant';
import type { Kernels, KeyTable } from '@ultramem/kernels';
import {
  type Candidates,
  type MemoryGeometry,
  type Selection,
  SIDES,
  type ValueAddresses,
  winnersPerToken,
} from '@ultramem/ultramem';
import type { KeyCost, ScorePlace } from './key-cost.ts';
import type { LookupCall } from './lookup-call.ts';
import { LookupTraffic } from './lookup-traffic.ts';
import { poolOnWorkers } from './pool-phase.ts';
import type { RoutingTable } from './routing-table.ts';
import { scoreOnWorkers } from './score-phase.ts';

export interface ShardedLookupOptions {
  kernels: Kernels;
  clock: Clock;
  geometry: MemoryGeometry;
  memoryLayers: readonly MemoryLayer[];
  /** The coordinator's own keys of each layer, where it holds them. */
  localKeys: readonly KeyTable[] | null;
  keyCost: KeyCost;
  /** The owners right now; throws NOT_READY or SHARD_UNAVAILABLE when a shard has none. */
  routing: () => RoutingTable;
  deadlineMs: number;
  /** Tensor bytes of one message stay below this; a larger batch goes in several rounds. */
  frameBytesMax: number;
  /** Told of every lookup that succeeded. */
  onLookup: (elapsedMs: number) => void;
}

export interface ShardedAnswer extends LookupAnswer {
  scoredBy: ScorePlace;
  traffic: LookupTraffic;
}

/**
 * Turns one lookup into shard requests and one answer (ARCHITECTURE, one lookup): score, merge top-k, route, pool, merge partials.
 * The answer equals the one of a single process, or the promise rejects; never part of it.
 *
 * @throws OperatingError NOT_READY, SHARD_UNAVAILABLE, DEADLINE_EXCEEDED, STALE_EPOCH, NON_FINITE_SCORE
 */
export function createShardedLookup(
  options: ShardedLookupOptions,
): (request: LookupRequest) => Promise<ShardedAnswer> {
  const tokensMax = tokensPerFrame(options.geometry, options.frameBytesMax);
  return async (request) => {
    const { clock } = options;
    const startMs = clock.nowMs();
    const call: LookupCall = {
      table: options.routing(),
      clock,
      deadlineAtMs: startMs + options.deadlineMs,
      traffic: new LookupTraffic(),
    };
    const answers: Omit<ShardedAnswer, 'traffic'>[] = [];
    for (const part of cutRequest(request, tokensMax, options.geometry))
      answers.push(await lookUpPart(options, call, part));
    const answer = { traffic: call.traffic, ...joinAnswers(answers) };
    options.onLookup(clock.nowMs() - startMs);
    return answer;
  };
}

async function lookUpPart(
  options: ShardedLookupOptions,
  call: LookupCall,
  request: LookupRequest,
): Promise<Omit<ShardedAnswer, 'traffic'>> {
  const { clock, geometry, keyCost } = options;
  const memoryLayer = options.memoryLayers[request.layer];
  const scoredBy = keyCost.choose(call.table.keys, request.tokenCount);
  const startMs = clock.nowMs();
  const chosen =
    scoredBy === 'workers'
      ? await selectByWorkers(options, call, request, memoryLayer)
      : await selectByKeys(options.kernels, memoryLayer, keysHere(options, request.layer), request);
  keyCost.measured(scoredBy, request.tokenCount, clock.nowMs() - startMs);
  call.traffic.phase(`select (${scoredBy})`, clock.nowMs() - startMs);
  const pooled = await poolOnWorkers(options.kernels, call, request, geometry, chosen);
  return { pooled, ...chosen, scoredBy };
}

async function selectByWorkers(
  { kernels, geometry }: ShardedLookupOptions,
  call: LookupCall,
  request: LookupRequest,
  memoryLayer: MemoryLayer,
): Promise<Omit<LookupAnswer, 'pooled'>> {
  const candidates = await scoreOnWorkers(call, request, geometry, memoryLayer.collapse);
  return { candidates, ...(await selectSlots(kernels, geometry, memoryLayer, request.layer, candidates)) };
}

function keysHere({ localKeys }: ShardedLookupOptions, layer: number): KeyTable {
  assert(localKeys !== null, 'the coordinator holds keys in every mode that scores here');
  return localKeys[layer];
}

/** How many tokens fit a message, by the largest tensor set that any phase sends or gets. */
export function tokensPerFrame(geometry: MemoryGeometry, frameBytesMax: number): number {
  const winners = winnersPerToken(geometry);
  const bytes = Math.max(
    geometry.queryGroupUsed * 2 * geometry.keyWidth * 4,
    winners * SIDES * (4 + 4 * geometry.rank),
    4 + winners * (4 + 1 + 4 * geometry.coreCount) + geometry.preWidth * 4,
    geometry.poolBlocks * geometry.valueWidth * 4,
  );
  return Math.max(1, Math.floor(frameBytesMax / bytes));
}

function cutRequest(request: LookupRequest, tokensMax: number, geometry: MemoryGeometry): LookupRequest[] {
  const { layer, tokenCount, query, preQuery, explain } = request;
  if (tokenCount <= tokensMax) return [request];
  const queryWidth = geometry.queryGroupUsed * 2 * geometry.keyWidth;
  return Array.from({ length: Math.ceil(tokenCount / tokensMax) }, (_, i) => {
    const [first, end] = [i * tokensMax, Math.min(tokenCount, (i + 1) * tokensMax)];
    return {
      layer,
      tokenCount: end - first,
      query: query.subarray(first * queryWidth, end * queryWidth),
      preQuery: preQuery?.subarray(first * geometry.preWidth, end * geometry.preWidth) ?? null,
      explain,
    };
  });
}

/** Puts the answers of consecutive tokens behind one another. */
function joinAnswers(parts: readonly Omit<ShardedAnswer, 'traffic'>[]): Omit<ShardedAnswer, 'traffic'> {
  const [first] = parts;
  assert(first !== undefined, 'a request has at least one part');
  if (parts.length === 1) return first;
  const floats = (of: (part: Omit<ShardedAnswer, 'traffic'>) => Float32Array) =>
    concatenate(parts.map(of), Float32Array);
  const selection: Selection = {
    tokenCount: parts.reduce((sum, part) => sum + part.selection.tokenCount, 0),
    perToken: first.selection.perToken,
    virtualIndex: concatenate(
      parts.map((part) => part.selection.virtualIndex),
      Float64Array,
    ),
    scores: floats((part) => part.selection.scores),
    rankScore: floats((part) => part.selection.rankScore),
  };
  const addresses: ValueAddresses = {
    block: concatenate(
      parts.map((part) => part.addresses.block),
      Uint8Array,
    ),
    slot: concatenate(
      parts.map((part) => part.addresses.slot),
      Uint32Array,
    ),
  };
  return {
    pooled: floats((part) => part.pooled),
    candidates: joinCandidates(parts.flatMap(({ candidates }) => candidates ?? [])),
    selection,
    addresses,
    scoredBy: first.scoredBy,
  };
}

function joinCandidates(parts: readonly Candidates[]): Candidates | null {
  if (parts.length === 0) return null;
  return {
    tokenCount: parts.reduce((sum, part) => sum + part.tokenCount, 0),
    perSide: parts[0].perSide,
    index: concatenate(
      parts.map((part) => part.index),
      Uint32Array,
    ),
    refined: concatenate(
      parts.map((part) => part.refined),
      Float32Array,
    ),
  };
}

function concatenate<A extends Float32Array | Float64Array | Uint32Array | Uint8Array>(
  parts: readonly A[],
  Type: new (length: number) => A,
): A {
  const joined = new Type(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
