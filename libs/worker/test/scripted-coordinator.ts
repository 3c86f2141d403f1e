// A coordinator that does as the spec says, over the transport in memory and a clock that stands still.
import type { Checkpoint } from '@ultramem/checkpoint';
import { createRandom, ManualClock } from '@ultramem/environment';
import { createReferenceKernels } from '@ultramem/kernels';
import type { AnswerTo, MessageOfKind, Notice, NoticeKind, RequestKind } from '@ultramem/protocol';
import {
  type Channel,
  type Connection,
  createMemoryTransport,
  openChannel,
  type Transport,
} from '@ultramem/transport';
import { startWorker } from '../src/worker.ts';
import type { Worker, WorkerEvent, WorkerOptions } from '../src/worker-options.ts';

export const LEASE = { heartbeatMs: 1_000, leaseMs: 5_000 };
export const CONNECT_TIMEOUT_MS = 20_000;

/** One connection of the worker, as the coordinator sees it. */
export interface Session {
  channel: Channel;
  /** What the worker said. */
  notices: Notice[];
  closedBecause(): string | null;
  welcome(): void;
  assign(changes?: Partial<MessageOfKind<'assign'>>): Promise<AnswerTo<'assign'>>;
}

export interface World {
  clock: ManualClock;
  transport: Transport;
  url: string;
  worker: Worker;
  sessions: Session[];
  /** The latest connection. */
  session(): Session;
  events: WorkerEvent[];
  defects: unknown[];
  /** The states that the worker has been in, with the first words of why. */
  states(): string[];
  /** How `done` has ended, null while it has not. */
  end(): 'left' | unknown;
}

/** @param onSession what the coordinator does with a new connection; welcomes it by default */
export async function startWorld(
  checkpoint: Checkpoint,
  options: Partial<Omit<WorkerOptions, 'clock'>> = {},
  onSession: (session: Session, connection: Connection) => void = ({ welcome }) => welcome(),
): Promise<World> {
  const clock = new ManualClock();
  const transport = options.transport ?? createMemoryTransport();
  const sessions: Session[] = [];
  const onConnection = (connection: Connection): void => {
    const session = openSession(connection, clock, checkpoint);
    sessions.push(session);
    onSession(session, connection);
  };
  const { url } = await transport.listen({ host: '', port: 7, onConnection });
  const events: WorkerEvent[] = [];
  const defects: unknown[] = [];
  const worker = startWorker({
    transport,
    clock,
    random: createRandom(1),
    kernels: createReferenceKernels(),
    checkpoint,
    coordinatorUrl: url,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    token: 'secret',
    software: 'test/1',
    workerId: 'w',
    instance: 'w-1',
    capacityBytes: 1e9,
    processBytes: () => 5,
    loopDelay: () => ({ p99Ms: 1.5, maxMs: 4 }),
    onEvent: (event) => void events.push(event),
    onDefect: (error) => void defects.push(error),
    ...options,
  });
  let ended: unknown = null;
  worker.done.then(
    () => {
      ended = 'left';
    },
    (error: unknown) => {
      ended = error;
    },
  );
  await settle();
  return {
    clock,
    transport,
    url,
    worker,
    sessions,
    session: () => sessions.at(-1) ?? nobody(),
    events,
    defects,
    states: () => events.flatMap((event) => (event.kind === 'state' ? [event.state] : [])),
    end: () => ended,
  };
}

function openSession(connection: Connection, clock: ManualClock, { geometry }: Checkpoint): Session {
  const notices: Notice[] = [];
  let closedBecause: string | null = null;
  const channel = openChannel({
    connection,
    clock,
    accepts: new Set<RequestKind | NoticeKind>(['hello', 'leave']),
    serve: () => Promise.reject(new Error('a worker asks nothing')),
    onNotice: (notice) => void notices.push(notice),
    onClose: (reason) => {
      closedBecause = reason;
    },
    onDefect: (error) => {
      throw error;
    },
  });
  if (geometry === null) throw new Error('these models have memory');
  const whole = {
    rows: { start: 0, end: geometry.tableRows },
    columns: { start: 0, end: geometry.valueWidth },
    preColumns: { start: 0, end: geometry.preWidth },
    keys: { start: 0, end: geometry.keyCount },
  };
  return {
    channel,
    notices,
    closedBecause: () => closedBecause,
    welcome: () =>
      channel.notify({ kind: 'welcome', protocol: 1, software: 'test/1', clusterId: 'test', ...LEASE }),
    assign: (changes) =>
      channel.request({ kind: 'assign', epoch: 1, shard: 0, ...whole, ...changes }, { deadlineMs: 60_000 }),
  };
}

/** Lets microtasks run out: nothing here waits for anything else but the clock. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 2_000; turn++) await Promise.resolve();
}

function nobody(): never {
  throw new Error('the worker has not connected');
}
