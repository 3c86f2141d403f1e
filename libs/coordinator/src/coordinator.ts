import type { LookupRequest, MemoryLayer, Model } from '@ultramem/inference';
import { LEASE_TERMS } from '@ultramem/membership';
import { planPartition } from '@ultramem/planner';
import { codedError, FIRST_MESSAGE_BYTES_MAX } from '@ultramem/protocol';
import type { Connection, Listener } from '@ultramem/transport';
import { Cluster } from './cluster.ts';
import type { CoordinatorOptions } from './coordinator-options.ts';
import { type ClusterStatus, describeCluster } from './describe-cluster.ts';
import { greet } from './greet.ts';
import { KeyCost } from './key-cost.ts';
import { lastingKernels } from './lasting-kernels.ts';
import { SLOW_LINKS } from './link-speed.ts';
import { loadResident } from './load-resident.ts';
import type { PlanTerms } from './place-shards.ts';
import { planTerms } from './plan-terms.ts';
import { createClientServer } from './serve-client.ts';
import { createShardedLookup, type ShardedAnswer } from './sharded-lookup.ts';
import { Statistics } from './statistics.ts';

export interface Coordinator {
  /** What workers and clients dial. */
  readonly url: string;
  /** The model on top of the sharded memory; null when only the memory is served. */
  readonly model: Model | null;
  readonly memoryLayers: readonly MemoryLayer[];
  readonly lookUp: (request: LookupRequest) => Promise<ShardedAnswer>;
  /** Resolves when every shard answers for the first time. */
  whenReady(): Promise<void>;
  status(): Promise<ClusterStatus>;
  close(): Promise<void>;
}

const LOAD_DEADLINE_MS = 3_600_000;
const PULSE_DEADLINE_MS = 500;
/** Tensor bytes of one message: large enough to be efficient, far below the protocol's limit. */
const FRAME_BYTES_MAX = 64 * 2 ** 20;

/**
 * Loads what stays on the coordinator, listens, admits workers, cuts the tables over them and serves lookups.
 *
 * @throws OperatingError PLAN_IMPOSSIBLE when no workers of any size could hold the model in this shape, CHECKPOINT_INVALID, PORT_IN_USE, LISTEN_FAILED
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const { checkpoint, clock, tokenizer, onEvent } = options;
  const kernels = lastingKernels(options);
  const terms = feasibleTerms(options);
  const resident = await loadResident(
    checkpoint,
    kernels,
    { dense: tokenizer !== null, keys: options.keys },
    (loaded, total) => onEvent({ kind: 'loading', loaded, total }),
  );
  const { dense, memoryLayers } = resident;
  const startMs = clock.nowMs();
  const statistics = new Statistics();
  let ready: () => void = () => {};
  const firstReady = new Promise<void>((resolve) => {
    ready = resolve;
  });
  const cluster = new Cluster({
    clock,
    lease: options.lease ?? LEASE_TERMS,
    workersWanted: options.workersWanted,
    terms,
    slowLinks: options.slowLinks ?? SLOW_LINKS,
    loadDeadlineMs: LOAD_DEADLINE_MS,
    onEvent: (event) => {
      if (event.kind === 'ready') ready();
      onEvent(event);
    },
    onDefect: options.onDefect,
  });
  const lookUp = createShardedLookup({
    kernels,
    clock,
    geometry: terms.geometry,
    memoryLayers,
    localKeys: resident.keys,
    keyCost: new KeyCost(),
    routing: () => cluster.routing(),
    deadlineMs: options.lookupDeadlineMs,
    frameBytesMax: options.frameBytesMax ?? FRAME_BYTES_MAX,
    onLookup: (elapsedMs) => statistics.countLookup(elapsedMs),
  });
  const status = async (): Promise<ClusterStatus> => {
    await cluster.refreshPulses(PULSE_DEADLINE_MS);
    return describeCluster(cluster, options, statistics, clock.nowMs() - startMs);
  };
  const model: Model | null = dense && { dense, memoryLayers, lookUp, kernels, clock };
  const serveClient =
    model && tokenizer && createClientServer({ model, lookUp, tokenizer, cluster, status, statistics });
  const onConnection = (connection: Connection): void => greet(connection, cluster, serveClient, options);
  const listener = await listen(options, onConnection).catch((error: unknown) => {
    cluster.close(); // its timers would keep the process alive
    resident.release();
    throw error;
  });
  return {
    url: listener.url,
    model,
    memoryLayers,
    lookUp,
    whenReady: () => firstReady,
    status,
    async close() {
      cluster.close();
      await listener.close();
      resident.release();
    },
  };
}

/** A little more than a hello still gets a coded refusal; beyond this nothing is read any more. */
function listen(
  { transport, host, port }: CoordinatorOptions,
  onConnection: (connection: Connection) => void,
): Promise<Listener> {
  return transport.listen({ host, port, onConnection, strangerBytesMax: 4 * FIRST_MESSAGE_BYTES_MAX });
}

/** The terms of the plan, after a try with workers of any size: an impossible shape is refused before anybody waits for workers. */
function feasibleTerms({
  checkpoint,
  partition,
  keys,
  workersWanted,
  kernels,
}: CoordinatorOptions): PlanTerms {
  if (checkpoint.geometry === null)
    throw codedError(
      'PLAN_IMPOSSIBLE',
      'the model has no memory layers (mem_insert_way is no_mem); expected at least one to shard; run it with: ultramem generate --model DIR',
    );
  const terms = planTerms(checkpoint, partition, keys, kernels.backend);
  const workers = Array.from({ length: workersWanted }, (_, i) => ({
    id: `${i}`,
    capacityBytes: Number.MAX_SAFE_INTEGER,
  }));
  planPartition({ ...terms, workers });
  return terms;
}
