import { assert, OperatingError } from '@ultramem/invariant';
import type { Kernels } from '@ultramem/kernels';
import {
  codedError,
  NAME_LENGTH_MAX,
  type Notice,
  PROTOCOL_MAX,
  PROTOCOL_MIN,
  type Request,
  type RequestKind,
  unknownVersion,
} from '@ultramem/protocol';
import { type AnswerBody, backoffMs, type Channel, openChannel } from '@ultramem/transport';
import { type JoinState, nextState } from './join.ts';
import { invalidAssignment, loadShard, type ResidentShard } from './resident-shard.ts';
import { servePool, servePrescore, serveScore } from './serve.ts';
import type { Worker, WorkerOptions, WorkerStatus } from './worker-options.ts';

/** For the last dial too, so that its failure says what is wrong there instead of that the time was up. */
const DIAL_MS_MIN = 250;
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
  return { done: worker.run(), leave: (reason) => worker.leave(reason), status: () => worker.status() };
}

class WorkerProcess {
  readonly #options: WorkerOptions;
  #kernels: Kernels;
  /** What the kernels said when their device was lost. */
  #deviceLost: OperatingError | null = null;
  #state: JoinState = 'connecting';
  #shard: ResidentShard | null = null;
  #channel: Channel | null = null;
  #wakeUp: () => void = () => {};
  /** When the last coordinator was lost, at first the start. */
  #aloneSinceMs = 0;
  /** Since then. */
  #attempt = 0;
  #loading: Promise<unknown> = Promise.resolve();
  /** Lookups under way: a slice is only replaced when none reads it. */
  readonly #answering = new Set<Promise<unknown>>();
  #lookups = 0;
  #rowsRead = 0;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#kernels = options.kernels;
  }

  /** The only loop that waits: connect, serve until the connection ends, again. */
  async run(): Promise<void> {
    const { clock, random, workerId } = this.#options;
    if (workerId === '' || workerId.length > NAME_LENGTH_MAX)
      throw codedError(
        'USAGE',
        `the id of the worker has ${workerId.length} characters; expected 1 to ${NAME_LENGTH_MAX}; choose another --id`,
      );
    this.#aloneSinceMs = clock.nowMs();
    while (!this.#left()) {
      try {
        await this.#serveOneConnection(Math.max(DIAL_MS_MIN, this.#remainingMs()));
      } catch (error) {
        if (!(error instanceof OperatingError)) throw error;
        if (this.#left()) return;
        if (!error.retriable) throw error;
        if (this.#remainingMs() <= 0) throw this.#gaveUp(error);
      }
      if (this.#left()) return;
      if (this.#deviceLost !== null) await this.#reopenKernels(this.#deviceLost);
      const pauseMs = backoffMs(this.#attempt++, BACKOFF, random);
      await this.#sleep(Math.min(pauseMs, Math.max(1, this.#remainingMs())));
    }
  }

  /** How much longer this worker looks for a coordinator. */
  #remainingMs(): number {
    const { clock, connectTimeoutMs } = this.#options;
    return this.#aloneSinceMs + connectTimeoutMs - clock.nowMs();
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

  /**
   * Resolves when a connection on which this worker was welcomed has ended.
   *
   * @throws OperatingError what the coordinator refused with, or CONNECTION_LOST when it never said welcome
   */
  async #serveOneConnection(timeoutMs: number): Promise<void> {
    const { transport, clock, coordinatorUrl, onDefect } = this.#options;
    const connection = await transport.connect(coordinatorUrl, { timeoutMs });
    if (this.#left()) {
      connection.close('left while connecting');
      return;
    }
    this.#to('greeting', `connected to ${connection.peerName}`);
    return new Promise((resolve, reject) => {
      let refusal: OperatingError | null = null;
      let welcomed = false;
      let lastHeardMs = clock.nowMs();
      let stopWatching = clock.after(timeoutMs, () =>
        this.#channel?.close(`no welcome within ${Math.round(timeoutMs)} ms`),
      );
      // A coordinator that is frozen or cut off keeps its socket open: silence ends the connection.
      const watchSilence = (leaseMs: number): void => {
        stopWatching = clock.after(leaseMs / 2, () => {
          if (clock.nowMs() - lastHeardMs > leaseMs)
            this.#channel?.close(`the coordinator was silent for ${Math.round(leaseMs)} ms`);
          else watchSilence(leaseMs);
        });
      };
      const channel = openChannel({
        connection,
        clock,
        accepts: ACCEPTED,
        serve: (request) => {
          lastHeardMs = clock.nowMs();
          return this.#orHangUp(channel, this.#serve(request));
        },
        onNotice: (notice) => {
          if (notice.kind === 'failure')
            refusal = new OperatingError(notice.code, notice.message, { retriable: notice.retriable });
          if (notice.kind !== 'welcome' || this.#left()) return;
          if (welcomed) throw unexpected('a second welcome', 'one for each connection');
          refusal = unknownVersion(notice.protocol);
          if (refusal !== null) throw refusal;
          welcomed = true;
          lastHeardMs = clock.nowMs();
          stopWatching();
          watchSilence(notice.leaseMs);
          this.#to('standby', `welcomed by cluster ${notice.clusterId}`);
        },
        onClose: (reason) => {
          stopWatching();
          this.#channel = null;
          if (!this.#left()) this.#to('connecting', `disconnected: ${reason}`);
          if (welcomed) {
            this.#aloneSinceMs = clock.nowMs();
            this.#attempt = 0;
          }
          if (refusal !== null) reject(refusal);
          else if (welcomed || this.#left()) resolve();
          else reject(notWelcomed(coordinatorUrl, reason));
        },
        onDefect,
      });
      this.#channel = channel;
      channel.notify(this.#hello());
    });
  }

  #hello(): Notice {
    const { software, token, workerId, instance, capacityBytes, checkpoint } = this.#options;
    const worker = {
      workerId,
      instance,
      capacityBytes,
      backend: this.#kernels.backend,
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

  /** A lost device ends the connection, so that the coordinator frees the shard and no other lookup is lost to it. */
  #orHangUp<A>(channel: Channel, answer: Promise<A>): Promise<A> {
    const kernels = this.#kernels;
    return answer.catch((error: unknown) => {
      if (error instanceof OperatingError && error.code === 'DEVICE_LOST' && kernels === this.#kernels) {
        this.#deviceLost = error;
        channel.close('the GPU device of this worker was lost');
      }
      throw error;
    });
  }

  /** @throws OperatingError what the device was lost with, where there is no other; what opening one throws */
  async #reopenKernels(lost: OperatingError): Promise<void> {
    const { reopenKernels } = this.#options;
    if (reopenKernels === undefined) throw lost;
    await Promise.allSettled([this.#loading, ...this.#answering]);
    this.#shard?.tables.release();
    this.#shard = null;
    await this.#kernels.close();
    this.#kernels = await reopenKernels();
    this.#deviceLost = null;
  }

  async #serve(request: Request): Promise<AnswerBody> {
    switch (request.kind) {
      case 'heartbeat':
        return { kind: 'pulse', ...this.#pulse(), echo: new Uint8Array(request.echoBytes) };
      case 'assign':
        return this.#assign(request);
      case 'score':
        return this.#timed(() => serveScore(this.#shardOf(request.epoch), this.#kernels, request));
      case 'prescore':
        return this.#timed(() => servePrescore(this.#shardOf(request.epoch), this.#kernels, request));
      case 'pool': {
        const answer = await this.#timed(() =>
          servePool(this.#shardOf(request.epoch), this.#kernels, request),
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
    if (this.#state !== 'standby' && this.#state !== 'ready')
      throw unexpected(
        `an assignment while this worker is ${this.#state}`,
        'one at a time, after the welcome',
      );
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
    const shard = await load.catch((error: unknown) => {
      if (this.#channel === channel && !this.#left()) this.#to('standby', 'the shard could not be loaded');
      throw error;
    });
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
    const { checkpoint, onEvent } = this.#options;
    const { geometry } = checkpoint;
    assert(geometry !== null, 'checked by the caller');
    const held = this.#shard;
    this.#shard = null; // nothing is answered from a slice on its way
    await Promise.allSettled(this.#answering);
    this.#shard = await loadShard(request, held, {
      checkpoint,
      geometry,
      kernels: this.#kernels,
      onProgress: (loadedBytes, totalBytes) => onEvent({ kind: 'loading', loadedBytes, totalBytes }),
    });
    return this.#shard;
  }

  status(): WorkerStatus {
    const { shard = null, slice = null } = this.#shard ?? {};
    return { ...this.#pulse(), shard, slice };
  }

  #pulse(): Omit<WorkerStatus, 'shard' | 'slice'> {
    const loopDelay = this.#options.loopDelay?.() ?? null;
    return {
      state: this.#state,
      epoch: this.#shard?.epoch ?? 0,
      lookups: this.#lookups,
      rowsRead: this.#rowsRead,
      residentBytes: this.#shard?.tables.residentBytes ?? 0,
      processBytes: this.#options.processBytes(),
      loopDelayP99Ms: loopDelay?.p99Ms ?? null,
      loopDelayMaxMs: loopDelay?.maxMs ?? null,
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
      return { computeMs: clock.nowMs() - startMs, ...done };
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

function unexpected(what: string, expected: string): OperatingError {
  return codedError(
    'UNEXPECTED_MESSAGE',
    `${what} came from the coordinator; expected ${expected}; run the same release everywhere`,
  );
}

function notWelcomed(url: string, reason: string): OperatingError {
  return codedError(
    'CONNECTION_LOST',
    `${url} hung up before it said welcome (${reason}); expected a coordinator of this version; look at its log`,
  );
}
