import type { Checkpoint } from '@ultramem/checkpoint';
import type { Clock } from '@ultramem/environment';
import {
  hiddenFraction,
  type LookupTiming,
  loadDense,
  loadMemoryLayers,
  type MemoryLayer,
  type MemoryLookup,
  type Model,
} from '@ultramem/inference';
import { assert, type OperatingError } from '@ultramem/invariant';
import { type Kernels, type KeyTable, loadMemoryTables } from '@ultramem/kernels';
import { LEASE_TERMS, type LeaseTerms } from '@ultramem/membership';
import { type KeysMode, type Partition, planPartition } from '@ultramem/planner';
import {
  codedError,
  FIRST_MESSAGE_BYTES_MAX,
  type MessageOfKind,
  type Notice,
  type NoticeKind,
  PROTOCOL_MAX,
  type RequestKind,
} from '@ultramem/protocol';
import type { Tokenizer } from '@ultramem/tokenizer';
import { type Channel, type Connection, openChannel, type Transport } from '@ultramem/transport';
import { invalidHello } from './admit.ts';
import { Cluster, type ClusterEvent } from './cluster.ts';
import { type ClusterStatus, describeCluster } from './describe-cluster.ts';
import { KeyCost } from './key-cost.ts';
import { LatencyWindow } from './latency-window.ts';
import { planTerms } from './plan-terms.ts';
import { createClientServer } from './serve-client.ts';
import { createShardedLookup } from './sharded-lookup.ts';

export interface CoordinatorOptions {
  transport: Transport;
  host: string;
  port: number;
  clock: Clock;
  kernels: Kernels;
  checkpoint: Checkpoint;
  /** Null: only the memory is served, to whoever holds the `Coordinator` (layer vectors have no transformer). */
  tokenizer: Tokenizer | null;
  workersWanted: number;
  partition: Partition | 'auto';
  keys: KeysMode;
  token: string | null;
  clusterId: string;
  software: string;
  /** For one lookup, all phases together. */
  lookupDeadlineMs: number;
  lease?: LeaseTerms;
  frameBytesMax?: number;
  processBytes: () => number;
  onEvent: (event: CoordinatorEvent) => void;
  onDefect: (error: unknown) => void;
}

export type CoordinatorEvent = ClusterEvent | { kind: 'loading'; loaded: number; total: number };

export interface Coordinator {
  /** What workers and clients dial. */
  readonly url: string;
  /** The model on top of the sharded memory; null when only the memory is served. */
  readonly model: Model | null;
  readonly memoryLayers: readonly MemoryLayer[];
  readonly lookUp: MemoryLookup;
  /** Resolves when every shard answers for the first time. */
  whenReady(): Promise<void>;
  status(): Promise<ClusterStatus>;
  close(): Promise<void>;
}

/** A stranger has this long to say hello. */
const HELLO_DEADLINE_MS = 10_000;
const LOAD_DEADLINE_MS = 3_600_000;
const PULSE_DEADLINE_MS = 500;
/** Tensor bytes of one message: large enough to be efficient, far below the protocol's limit. */
const FRAME_BYTES_MAX = 64 * 2 ** 20;

const WORKER_NOTICES: readonly NoticeKind[] = ['leave'];
const CLIENT_REQUESTS: readonly (RequestKind | NoticeKind)[] = [
  'generate',
  'evaluate',
  'tokenize',
  'explain',
  'status',
  'leave',
];

/**
 * Loads what stays on the coordinator, listens, admits workers, cuts the tables over them and serves lookups.
 *
 * @throws OperatingError PLAN_IMPOSSIBLE when no workers of any size could hold the model in this shape, CHECKPOINT_INVALID, PORT_IN_USE, LISTEN_FAILED
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const { checkpoint, kernels, clock, onEvent, onDefect } = options;
  const { geometry } = checkpoint;
  if (geometry === null)
    throw codedError(
      'PLAN_IMPOSSIBLE',
      'the model has no memory layers (mem_insert_way is no_mem); expected at least one to shard; run it with: ultramem generate --model DIR',
    );
  const terms = planTerms(checkpoint, options.partition, options.keys);
  const anyWorkers = Array.from({ length: options.workersWanted }, (_, i) => ({
    id: `${i}`,
    capacityBytes: Number.MAX_SAFE_INTEGER,
  }));
  planPartition({ ...terms, workers: anyWorkers }); // refuses impossible shapes before anybody waits for workers

  const onProgress = (loaded: number, total: number) => onEvent({ kind: 'loading', loaded, total });
  const dense = options.tokenizer === null ? null : await loadDense(checkpoint, kernels, onProgress);
  const memoryLayers = await loadMemoryLayers(checkpoint, kernels);
  const allKeys = { start: 0, end: geometry.keyCount };
  const tables =
    options.keys === 'workers'
      ? null
      : await loadMemoryTables(checkpoint, kernels, { keys: allKeys, values: null }, onProgress);
  const startMs = clock.nowMs();
  const lookupLatency = new LatencyWindow();
  let lookups = 0;
  const total: LookupTiming = { lookupMs: 0, blockedMs: 0 };

  let ready: () => void = () => {};
  const firstReady = new Promise<void>((resolve) => {
    ready = resolve;
  });
  const cluster = new Cluster({
    clock,
    lease: options.lease ?? LEASE_TERMS,
    workersWanted: options.workersWanted,
    terms,
    loadDeadlineMs: LOAD_DEADLINE_MS,
    onEvent: (event) => {
      if (event.kind === 'ready') ready();
      onEvent(event);
    },
    onDefect,
  });
  const lookUp = createShardedLookup({
    kernels,
    clock,
    geometry,
    memoryLayers,
    localKeys: tables && tables.layers.map(({ keys }): KeyTable => keys!),
    keyCost: new KeyCost(options.keys),
    routing: () => cluster.routing(),
    deadlineMs: options.lookupDeadlineMs,
    frameBytesMax: options.frameBytesMax ?? FRAME_BYTES_MAX,
    onLookup: (elapsedMs) => {
      lookups++;
      lookupLatency.add(elapsedMs);
    },
  });
  const status = async (): Promise<ClusterStatus> => {
    await cluster.refreshPulses(PULSE_DEADLINE_MS);
    return describeCluster(cluster, {
      clusterId: options.clusterId,
      software: options.software,
      model: checkpoint.name,
      fingerprint: checkpoint.fingerprint,
      backend: kernels.backend,
      uptimeMs: clock.nowMs() - startMs,
      lookups,
      lookupLatency,
      hiddenFraction: total.lookupMs > 0 ? hiddenFraction(total) : null,
      processBytes: options.processBytes(),
    });
  };
  const model: Model | null = dense && { dense, memoryLayers, lookUp, kernels, clock };
  const serveClient =
    model &&
    createClientServer({
      model,
      lookUp,
      tokenizer: options.tokenizer!,
      plan: () => {
        cluster.routing(); // says what is missing when nobody can answer
        return cluster.plan!;
      },
      status,
      onTiming: (timing) => {
        total.lookupMs += timing.lookupMs;
        total.blockedMs += timing.blockedMs;
      },
    });
  const listener = await options.transport.listen({
    host: options.host,
    port: options.port,
    onConnection: (connection) => greet(connection, cluster, serveClient, options),
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
      tables?.release();
    },
  };
}

/** One newcomer: its first message must be a hello that passes `admit.ts`, within the deadline; then it is a worker or a client. */
function greet(
  connection: Connection,
  cluster: Cluster,
  serveClient: ReturnType<typeof createClientServer> | null,
  options: CoordinatorOptions,
): void {
  const { clock, token, checkpoint, clusterId, software, onDefect } = options;
  const lease = options.lease ?? LEASE_TERMS;
  const accepts = new Set<RequestKind | NoticeKind>(['hello']);
  let workerId: string | null = null;
  const refuse = (channel: Channel, error: OperatingError): void => {
    options.onEvent({
      kind: 'refused',
      workerId: channel.peerName,
      code: error.code,
      message: error.message,
    });
    channel.notify({
      kind: 'failure',
      id: null,
      code: error.code,
      message: error.message,
      retriable: error.retriable,
    });
    channel.close(error.code);
  };
  const admit = (hello: MessageOfKind<'hello'>): void => {
    cancelDeadline();
    accepts.delete('hello');
    const reason = invalidHello(hello, { token, fingerprint: checkpoint.fingerprint, view: cluster.view });
    if (reason !== null) return refuse(channel, reason);
    channel.notify({
      kind: 'welcome',
      protocol: Math.min(hello.protocolMax, PROTOCOL_MAX),
      software,
      clusterId,
      ...lease,
    });
    for (const kind of hello.role === 'worker' ? WORKER_NOTICES : CLIENT_REQUESTS) accepts.add(kind);
    if (hello.worker === null) return;
    workerId = hello.worker.workerId;
    cluster.join(hello.worker, channel);
  };
  const onNotice = (notice: Notice): void => {
    if (notice.kind === 'hello') admit(notice);
    if (notice.kind === 'leave') channel.close(notice.reason);
  };
  const channel = openChannel({
    connection,
    clock,
    accepts,
    serve: (request, context) => {
      assert(serveClient !== null, 'requests are accepted from clients only');
      return serveClient(request, context);
    },
    onNotice,
    onClose: (why) => {
      cancelDeadline();
      if (workerId !== null) cluster.lost(workerId, channel, why);
    },
    onDefect,
    firstMessageBytesMax: FIRST_MESSAGE_BYTES_MAX,
  });
  const cancelDeadline = clock.after(HELLO_DEADLINE_MS, () =>
    channel.close(`no hello within ${HELLO_DEADLINE_MS} ms`),
  );
}
