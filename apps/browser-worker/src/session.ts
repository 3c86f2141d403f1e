import { type Checkpoint, openCheckpoint } from '@ultramem/checkpoint';
import { httpDirectory } from '@ultramem/checkpoint-http';
import { createRandom, type Random } from '@ultramem/environment';
import { OperatingError } from '@ultramem/invariant';
import { createBrowserTransport } from '@ultramem/transport-browser';
import { type JoinState, startWorker, type Worker, type WorkerStatus } from '@ultramem/worker';
import { browserClock } from './browser-clock.ts';
import { countedTransport } from './counted-transport.ts';
import { type Device, openDevice } from './open-device.ts';
import type { Settings } from './settings.ts';

/** What a person wants to see. */
export interface SessionFacts {
  state: 'opening' | 'failed' | JoinState;
  /** Why it is in this state. */
  reason: string;
  workerId: string;
  device: string | null;
  loading: { loadedBytes: number; totalBytes: number } | null;
  worker: WorkerStatus | null;
  sentBytes: number;
  receivedBytes: number;
  /** What ended the session, or disturbed it last. */
  error: string | null;
}

export interface Session {
  facts(): SessionFacts;
  leave(reason: string): Promise<void>;
  /** Resolves when this page has left, or has failed for good: `facts` say which. */
  readonly ended: Promise<void>;
}

/** A page is there for as long as its reader likes: it looks for a lost coordinator this long. */
const CONNECT_TIMEOUT_MS = 24 * 3_600_000;
const SOFTWARE = 'ultramem-browser/0.1.0';

/** Joins a cluster for as long as the page is open: loses and regains the coordinator, and the device. */
export function startSession(settings: Settings, onChange: () => void): Session {
  const session = new PageSession(settings, onChange);
  return {
    facts: () => session.facts(),
    leave: (reason) => session.leave(reason),
    ended: session.run(),
  };
}

class PageSession {
  readonly #settings: Settings;
  readonly #onChange: () => void;
  readonly #random: Random = createRandom(crypto.getRandomValues(new Uint32Array(1))[0] ?? 0);
  readonly #workerId = `browser-${randomHex(4)}`;
  readonly #counted = countedTransport(createBrowserTransport());
  #state: SessionFacts['state'] = 'opening';
  #reason = "reading the model's header";
  #error: string | null = null;
  #device: Device | null = null;
  #worker: Worker | null = null;
  #loading: SessionFacts['loading'] = null;
  /** Until the slice is given back. */
  #leaving: Promise<void> | undefined;

  constructor(settings: Settings, onChange: () => void) {
    this.#settings = settings;
    this.#onChange = onChange;
  }

  facts(): SessionFacts {
    return {
      state: this.#state,
      reason: this.#reason,
      workerId: this.#workerId,
      device: this.#device?.name ?? null,
      loading: this.#loading,
      worker: this.#worker?.status() ?? null,
      sentBytes: this.#counted.sentBytes(),
      receivedBytes: this.#counted.receivedBytes(),
      error: this.#error,
    };
  }

  async run(): Promise<void> {
    try {
      const checkpoint = await this.#open();
      while (!this.#isOver()) await this.#workUntilDeviceIsLost(checkpoint);
      await checkpoint.close();
    } catch (error) {
      this.#fail(error);
    }
    await this.#leaving;
    await this.#device?.kernels.close();
  }

  async leave(reason: string): Promise<void> {
    this.#to('left', reason);
    this.#leaving = this.#worker?.leave(reason);
    await this.#leaving;
  }

  #isOver(): boolean {
    return this.#state === 'left' || this.#state === 'failed';
  }

  async #open(): Promise<Checkpoint> {
    const { coordinatorUrl, token } = this.#settings;
    const checkpoint = await openCheckpoint(
      httpDirectory({
        url: `${coordinatorUrl}v1/model/`,
        token,
        fetch: (input, init) => fetch(input, init),
        clock: browserClock,
        random: this.#random,
      }),
      { parts: 'memory' },
    );
    if (checkpoint.geometry === null)
      throw new OperatingError(
        'PLAN_IMPOSSIBLE',
        'the model has no memory layers; expected some for a worker to hold; join the cluster of another model',
      );
    return checkpoint;
  }

  /** Returns when this page has left, or when it needs a new device. */
  async #workUntilDeviceIsLost(checkpoint: Checkpoint): Promise<void> {
    const device = await openDevice();
    this.#device = device;
    if (this.#isOver()) return;
    const worker = this.#startWorker(checkpoint, device);
    this.#worker = worker;
    // Whichever comes first: the browser's word, or a lookup that fails for it and ends the worker.
    const lost = await Promise.race([worker.done.then(() => null), device.lost]).catch(reasonOfLoss);
    if (lost === null) return;
    this.#error = `the GPU was lost (${lost}); joining again with what there is now`;
    await worker.leave('the GPU was lost');
    await device.kernels.close();
    this.#to('connecting', 'opening the GPU again');
  }

  #startWorker(checkpoint: Checkpoint, device: Device): Worker {
    const { coordinatorUrl, token, capacityBytes } = this.#settings;
    return startWorker({
      transport: this.#counted.transport,
      clock: browserClock,
      random: this.#random,
      kernels: device.kernels,
      checkpoint,
      coordinatorUrl,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      token,
      software: SOFTWARE,
      workerId: this.#workerId,
      instance: randomHex(8),
      capacityBytes,
      processBytes: heapBytes,
      onEvent: (event) => {
        this.#loading = event.kind === 'loading' ? event : null;
        // A worker leaves when this page tells it to, which need not be the end of the session.
        if (event.kind === 'state' && event.state !== 'left') this.#to(event.state, event.reason);
        else this.#onChange();
      },
      onDefect: (error) => this.#fail(error),
    });
  }

  #fail(error: unknown): void {
    if (this.#isOver()) return;
    const code = error instanceof OperatingError ? error.code : 'INTERNAL';
    this.#error = `${code}: ${error instanceof Error ? error.message : String(error)}`;
    this.#to('failed', '');
    this.#leaving = this.#worker?.leave(code);
  }

  #to(state: SessionFacts['state'], reason: string): void {
    if (this.#isOver()) return;
    this.#state = state;
    this.#reason = reason;
    this.#onChange();
  }
}

/** @throws what is no loss of the device */
function reasonOfLoss(error: unknown): string {
  if (error instanceof OperatingError && error.code === 'DEVICE_LOST') return error.message;
  throw error;
}

/** What the page's heap takes, where the browser says so: Chromium does. */
function heapBytes(): number {
  const memory: unknown = Reflect.get(performance, 'memory');
  const used: unknown = memory instanceof Object ? Reflect.get(memory, 'usedJSHeapSize') : 0;
  return typeof used === 'number' ? used : 0;
}

function randomHex(byteCount: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(byteCount));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
