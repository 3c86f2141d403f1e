// A real coordinator over the transport in memory and a clock that stands still, and peers that do as the spec says.
import type { Checkpoint } from '@ultramem/checkpoint';
import { ManualClock } from '@ultramem/environment';
import { createReferenceKernels } from '@ultramem/kernels';
import type { MessageOfKind, Notice, NoticeKind, Request, RequestKind } from '@ultramem/protocol';
import {
  type AnswerBody,
  type Channel,
  createMemoryTransport,
  openChannel,
  type Transport,
} from '@ultramem/transport';
import { type Coordinator, startCoordinator } from '../src/coordinator.ts';
import type { CoordinatorEvent, CoordinatorOptions } from '../src/coordinator-options.ts';
import { honestShard } from './honest-shard.ts';

export const LEASE = { heartbeatMs: 1_000, leaseMs: 5_000 };
export const LOOKUP_DEADLINE_MS = 10_000;

export interface World {
  clock: ManualClock;
  transport: Transport;
  checkpoint: Checkpoint;
  coordinator: Coordinator;
  events: CoordinatorEvent[];
  /** The events of some kinds, as `kind workerId shard`. */
  told(...kinds: CoordinatorEvent['kind'][]): string[];
}

export async function startWorld(
  checkpoint: Checkpoint,
  options: Partial<Omit<CoordinatorOptions, 'clock'>> & { workersWanted: number; clock?: ManualClock },
): Promise<World> {
  const clock = options.clock ?? new ManualClock();
  const transport = options.transport ?? createMemoryTransport();
  const events: CoordinatorEvent[] = [];
  const coordinator = await startCoordinator({
    transport,
    host: '',
    port: 0,
    clock,
    kernels: createReferenceKernels(),
    checkpoint,
    tokenizer: null,
    partition: { kind: 'slots' },
    keys: 'workers',
    token: null,
    clusterId: 'test',
    software: 'test/1',
    lookupDeadlineMs: LOOKUP_DEADLINE_MS,
    lease: LEASE,
    processBytes: () => 0,
    loopDelay: () => ({ p99Ms: 0.25, maxMs: 3 }),
    onEvent: (event) => void events.push(event),
    onDefect: throwIt,
    ...options,
  });
  const told: World['told'] = (...kinds) =>
    events
      .filter(({ kind }) => kinds.includes(kind))
      .map((event) =>
        [event.kind, 'workerId' in event ? event.workerId : '', 'shard' in event ? event.shard : '']
          .filter((word) => word !== '')
          .join(' '),
      );
  return { clock, transport, checkpoint, coordinator, events, told };
}

export interface ScriptedPeer {
  channel: Channel;
  /** What the coordinator said and asked, heartbeats left out. */
  notices: Notice[];
  requests: Request[];
  closedBecause(): string | null;
  /** The failure that came before the end. */
  failure(): Pick<MessageOfKind<'failure'>, 'code' | 'message'> | null;
}

export interface WorkerScript {
  id: string;
  instance?: string;
  capacityBytes?: number;
  fingerprint?: string;
  token?: string;
  /** Answers in place of the honest ones; null leaves it to those. */
  serve?: (request: Request) => Promise<AnswerBody> | null;
  /** Changes honest answers. */
  tamper?: (answer: AnswerBody) => AnswerBody | Promise<AnswerBody>;
}

export async function dialWorker(world: World, script: WorkerScript): Promise<ScriptedPeer> {
  const { id, instance = `${id}-1`, capacityBytes = 1e9, token = null, tamper = (answer) => answer } = script;
  const { fingerprint = world.checkpoint.fingerprint } = script;
  const honest = honestShard(world.checkpoint);
  const serve = async (request: Request) => script.serve?.(request) ?? tamper(await honest(request));
  const worker = { workerId: id, instance, capacityBytes, backend: 'reference', fingerprint };
  return dial(world, { role: 'worker', token, worker }, serve);
}

/** @param clock of the client alone: one that stands still stands for a client that is frozen */
export function dialClient(world: World, clock = world.clock): Promise<ScriptedPeer> {
  return dial({ ...world, clock }, { role: 'client', token: null, worker: null }, () =>
    Promise.reject(new Error('nobody asks a client')),
  );
}

/** Resolves when everything that follows from the hello has happened. */
async function dial(
  world: World,
  hello: Pick<MessageOfKind<'hello'>, 'role' | 'token' | 'worker'>,
  serve: (request: Request) => Promise<AnswerBody>,
): Promise<ScriptedPeer> {
  const notices: Notice[] = [];
  const requests: Request[] = [];
  let closedBecause: string | null = null;
  const channel = openChannel({
    connection: await world.transport.connect(world.coordinator.url, { timeoutMs: 1 }),
    clock: world.clock,
    accepts: new Set<RequestKind | NoticeKind>([
      'welcome',
      'leave',
      'assign',
      'heartbeat',
      'score',
      'prescore',
      'pool',
    ]),
    serve: (request) => {
      if (request.kind !== 'heartbeat') requests.push(request);
      return serve(request);
    },
    onNotice: (notice) => void notices.push(notice),
    onClose: (reason) => {
      closedBecause = reason;
    },
    onDefect: throwIt,
  });
  channel.notify({ kind: 'hello', protocolMin: 1, protocolMax: 1, software: 'test/1', ...hello });
  await settle();
  return {
    channel,
    notices,
    requests,
    closedBecause: () => closedBecause,
    failure: () => notices.find((notice) => notice.kind === 'failure') ?? null,
  };
}

/** A peer that never answers. */
export function silence(): Promise<never> {
  return new Promise(() => {});
}

/** Lets microtasks run out: nothing here waits for anything else but the clock. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 2_000; turn++) await Promise.resolve();
}

function throwIt(error: unknown): never {
  throw error;
}
