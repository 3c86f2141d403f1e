import type { Checkpoint } from '@ultramem/checkpoint';
import type { Clock, Random } from '@ultramem/environment';
import { assert, OperatingError } from '@ultramem/invariant';
import type { Kernels } from '@ultramem/kernels';
import {
  codedError,
  type Notice,
  PROTOCOL_MAX,
  PROTOCOL_MIN,
  type Request,
  type RequestKind,
} from '@ultramem/protocol';
import { type AnswerBody, backoffMs, type Channel, openChannel, type Transport } from '@ultramem/transport';
import { type JoinState, nextState } from './join.ts';
import { invalidAssignment, loadShard, type ResidentShard } from './resident-shard.ts';
import { servePool, servePrescore, serveScore } from './serve.ts';

export interface WorkerOptions {
  transport: Transport;
  clock: Clock;
  random: Random;
  kernels: Kernels;
  checkpoint: Checkpoint;
  coordinatorUrl: string;
  /** Gives up when no coordinator was there for this long, at the start or after one was lost. */
  connectTimeoutMs: number;
  token: string | null;
  software: string;
  workerId: string;
  /** Drawn for this process. */
  instance: string;
  /** What slices may take here. */
  capacityBytes: number;
  /** Resident memory of the process now. */
  processBytes: () => number;
  onEvent: (event: WorkerEvent) => void;
  /** A defect of this program: the caller should stop the process. */
  onDefect: (error: unknown) => void;
}

export type WorkerEvent =
  | { kind: 'state'; state: JoinState; reason: string }
  | { kind: 'loading'; loadedBytes: number; totalBytes: number }
  | { kind: 'ready'; shard: number; epoch: number; residentBytes: number };

export interface Worker {
  /** Resolves after `leave`; rejects when this worker can never join: refused for good, or no coordinator in time. */
  readonly done: Promise<void>;
  /** Says goodbye and ends. */
  leave(reason: string): Promise<void>;
}

const BACKOFF = { firstMs: 100, maxMs: 3_000 };

const ACCEPTED: ReadonlySet<RequestKind | Notice['kind']> = new Set([
  'welcome',
  'failure',
  'leave',
  'assign',
  'heartbeat',
  'score',
  'prescore',
  'pool',
]);

/** Joins a coordinator, holds what it assigns, answers for it, and joins again when the coordinator comes back. */
export function startWorker(options: WorkerOptions): Worker {
  const worker = new WorkerProcess(options);
  return { done: worker.run(), leave: (reason) => worker.leave(reason) };
}

class WorkerProcess {
  readonly #options: WorkerOptions;
  #state: JoinState = 'connecting';
  #shard: ResidentShard | null = null;
  #channel: Channel | null = null;
  #wakeUp: () => void = () => {};
  #loading: Promise<unknown> = Promise.resolve();
  /** Lookups under way: a slice is only replaced when none reads it. */
  readonly #answering = new Set<Promise<unknown>>();
  #lookups = 0;
  #rowsRead = 0;

  constructor(options: WorkerOptions) {
    this.#options = options;
  }

  /** The only loop that waits: connect, serve until the connection ends, again. */
  async run(): Promise<void> {
    const { clock, connectTimeoutMs } = this.#options;
    let aloneSinceMs = clock.nowMs();
    for (let attempt = 0; this.#state !== 'left'; ) {
      const remainingMs = aloneSinceMs + connectTimeoutMs - clock.nowMs();
      try {
        const welcomed = await this.#serveOneConnection(Math.max(1, remainingMs));
        if (welcomed) {
          aloneSinceMs = clock.nowMs();
          attempt = 0;
        }
      } catch (error) {
        if (!(error instanceof OperatingError) || !error.retriable) throw error;
        if (clock.nowMs() - aloneSinceMs >= connectTimeoutMs) throw this.#gaveUp(error);
      }
      if (!this.#left())
        await this.#sleep(
          Math.min(
            backoffMs(attempt++, BACKOFF, this.#options.random),
            Math.max(1, aloneSinceMs + connectTimeoutMs - clock.nowMs()),
          ),
        );
    }
  }

  async leave(reason: string): Promise<void> {
    if (this.#left()) return;
    this.#to('left', reason);
    this.#wakeUp();
    this.#channel?.notify({ kind: 'leave', reason });
    await Promise.allSettled(this.#answering);
    this.#channel?.close(reason);
    this.#shard?.tables.release();
    this.#shard = null;
  }

  /** @returns whether the coordinator let this worker in */
  async #serveOneConnection(timeoutMs: number): Promise<boolean> {
    const { transport, clock, coordinatorUrl, onDefect } = this.#options;
    const connection = await transport.connect(coordinatorUrl, { timeoutMs });
    if (this.#left()) {
      connection.close('left while connecting');
      return false;
    }
    this.#to('greeting', `connected to ${connection.peerName}`);
    return new Promise((resolve, reject) => {
      let welcomed = false;
      let refusal: OperatingError | null = null;
      let lastHeardMs = clock.nowMs();
      let leaseMs = Number.POSITIVE_INFINITY;
      const channel = openChannel({
        connection,
        clock,
        accepts: ACCEPTED,
        serve: (request) => {
          lastHeardMs = clock.nowMs();
          return this.#serve(request);
        },
        onNotice: (notice) => {
          if (notice.kind === 'welcome') {
            welcomed = true;
            leaseMs = notice.leaseMs;
            watchSilence();
            this.#to('standby', `welcomed by cluster ${notice.clusterId}`);
          } else if (notice.kind === 'failure')
            refusal = new OperatingError(notice.code, notice.message, { retriable: notice.retriable });
        },
        onClose: (reason) => {
          stopWatching();
          this.#channel = null;
          if (!this.#left()) this.#to('connecting', `disconnected: ${reason}`);
          if (refusal !== null) reject(refusal);
          else resolve(welcomed);
        },
        onDefect,
      });
      this.#channel = channel;
      // A coordinator that is frozen or cut off keeps its socket open: silence ends the connection.
      let stopWatching: () => void = () => {};
      const watchSilence = (): void => {
        stopWatching = clock.after(leaseMs / 2, () => {
          if (clock.nowMs() - lastHeardMs > leaseMs)
            channel.close(`the coordinator was silent for ${Math.round(leaseMs)} ms`);
          else watchSilence();
        });
      };
      channel.notify(this.#hello());
    });
  }

  #hello(): Notice {
    const { software, token, workerId, instance, capacityBytes, kernels, checkpoint } = this.#options;
    const worker = {
      workerId,
      instance,
      capacityBytes,
      backend: kernels.backend,
      fingerprint: checkpoint.fingerprint,
    };
    return {
      kind: 'hello',
      protocolMin: PROTOCOL_MIN,
      protocolMax: PROTOCOL_MAX,
      software,
      role: 'worker',
      token,
      worker,
    };
  }

  async #serve(request: Request): Promise<AnswerBody> {
    switch (request.kind) {
      case 'heartbeat':
        return this.#pulse();
      case 'assign':
        return this.#assign(request);
      case 'score':
        return this.#timed(() => serveScore(this.#shardOf(request.epoch), this.#options.kernels, request));
      case 'prescore':
        return this.#timed(() => servePrescore(this.#shardOf(request.epoch), this.#options.kernels, request));
      case 'pool': {
        const answer = await this.#timed(() =>
          servePool(this.#shardOf(request.epoch), this.#options.kernels, request),
        );
        this.#rowsRead += request.slot.length;
        return answer;
      }
      default:
        assert(false, `${request.kind} is not accepted`);
    }
  }

  async #assign(request: AssignRequest): Promise<AnswerBody> {
    const { geometry } = this.#options.checkpoint;
    assert(geometry !== null, 'a worker is only started for models with memory layers');
    const reason = invalidAssignment(request, geometry);
    if (reason !== null)
      throw codedError(
        'UNEXPECTED_MESSAGE',
        `the assignment does not fit this checkpoint: ${reason}; expected a slice of it; use the same checkpoint everywhere`,
      );
    const channel = this.#channel;
    this.#to('loading', `assigned shard ${request.shard}`);
    // One load at a time: after a lost connection an earlier one may still run, and its tables are then taken over.
    const load = this.#loading.then(() => this.#load(request));
    this.#loading = load.catch(() => {});
    const shard = await load;
    if (this.#left()) shard.tables.release();
    if (this.#channel !== channel || this.#left())
      throw codedError(
        'CONNECTION_LOST',
        'the coordinator was lost while a shard was loading; expected it to wait; it assigns the shard again when this worker is back',
      );
    const { residentBytes } = shard.tables;
    this.#to('ready', `holds shard ${request.shard}`);
    this.#options.onEvent({ kind: 'ready', shard: request.shard, epoch: request.epoch, residentBytes });
    return { kind: 'ready', epoch: request.epoch, residentBytes };
  }

  async #load(request: AssignRequest): Promise<ResidentShard> {
    const { checkpoint, kernels, onEvent } = this.#options;
    const { geometry } = checkpoint;
    assert(geometry !== null, 'checked by the caller');
    const held = this.#shard;
    this.#shard = null; // nothing is answered from a slice on its way
    await Promise.allSettled(this.#answering);
    this.#shard = await loadShard(request, held, {
      checkpoint,
      geometry,
      kernels,
      onProgress: (loadedBytes, totalBytes) => onEvent({ kind: 'loading', loadedBytes, totalBytes }),
    });
    return this.#shard;
  }

  #pulse(): AnswerBody {
    return {
      kind: 'pulse',
      state: this.#state,
      epoch: this.#shard?.epoch ?? 0,
      lookups: this.#lookups,
      rowsRead: this.#rowsRead,
      residentBytes: this.#shard?.tables.residentBytes ?? 0,
      processBytes: this.#options.processBytes(),
    };
  }

  /** Counts and times one lookup request; the time is the kernels' part of what the coordinator sees. */
  async #timed<A extends object>(answer: () => Promise<A>): Promise<A & { computeMs: number }> {
    const { clock } = this.#options;
    const startMs = clock.nowMs();
    const answering = answer();
    this.#answering.add(answering);
    try {
      const done = await answering;
      this.#lookups++;
      return { ...done, computeMs: clock.nowMs() - startMs };
    } finally {
      this.#answering.delete(answering);
    }
  }

  #shardOf(epoch: number): ResidentShard {
    if (this.#shard === null)
      throw codedError(
        'NOT_READY',
        'this worker holds no shard yet; expected requests after its ready; ask again in a moment',
      );
    if (this.#shard.epoch !== epoch)
      throw codedError(
        'STALE_EPOCH',
        `the request is for epoch ${epoch}, this shard is of epoch ${this.#shard.epoch}; expected the same; ask again with the current plan`,
      );
    return this.#shard;
  }

  #to(state: JoinState, reason: string): void {
    this.#state = nextState(this.#state, state);
    this.#options.onEvent({ kind: 'state', state, reason });
  }

  #left(): boolean {
    return this.#state === 'left';
  }

  #gaveUp(cause: OperatingError): OperatingError {
    const { coordinatorUrl, connectTimeoutMs } = this.#options;
    return new OperatingError(
      cause.code,
      `no coordinator let this worker in at ${coordinatorUrl} for ${connectTimeoutMs / 1000} s (${cause.message.split(';')[0]}); expected a running coordinator; start it, or raise --connect-timeout`,
      { cause },
    );
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(ms, resolve);
      this.#wakeUp = () => {
        cancel();
        resolve();
      };
    });
  }
}

type AssignRequest = Extract<Request, { kind: 'assign' }>;
