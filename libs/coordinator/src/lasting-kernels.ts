import type { Clock } from '@ultramem/environment';
import { assert, OperatingError } from '@ultramem/invariant';
import type { Kernels, KeyTable, Linear, Matrix, ValueTable } from '@ultramem/kernels';
import { codedError } from '@ultramem/protocol';

/** A device that went well for so long is replaced at once when it is lost; before others the pause doubles. */
const STEADY_MS = 60_000;
const PAUSE_FIRST_MS = 1_000;
const PAUSE_MS_MAX = 60_000;

export type DeviceEvent =
  /** Requests fail for `pauseMs`; the first one after that opens another. */
  | { kind: 'device-lost'; reason: string; pauseMs: number }
  | { kind: 'device-reopened'; tables: number; elapsedMs: number };

interface LastingOptions {
  kernels: Kernels;
  reopenKernels?: () => Promise<Kernels>;
  clock: Clock;
  onEvent: (event: DeviceEvent) => void;
}

/**
 * Kernels that outlast their device. The calls that meet a lost one fail with its DEVICE_LOST, the next call opens another and loads
 * every table again first. Between two calls nothing is kept on a device but tables, so that what goes on computes the same numbers.
 *
 * @returns the kernels as they are where there is no way to open others
 */
export function lastingKernels({ kernels: first, reopenKernels, clock, onEvent }: LastingOptions): Kernels {
  if (reopenKernels === undefined) return first;
  const device = new LastingDevice(first, reopenKernels, clock, onEvent);
  const { run, tableOf } = device;
  const linearOf = ({ weight, bias }: Linear) => ({ weight: tableOf(weight), bias });
  return {
    backend: first.backend,
    loadMatrix: (source, activations) =>
      device.load(
        (kernels) => kernels.loadMatrix(source, activations),
        ({ rows, columns, activations }) => ({ rows, columns, activations }),
      ),
    loadKeys: (source, keyRange, norm) =>
      device.load<KeyTable>(
        (kernels) => kernels.loadKeys(source, keyRange, norm),
        ({ headCount, range, width, rank }) => ({ headCount, range, width, rank }),
      ),
    loadValues: (source, tableRows, tableColumns) =>
      device.load<ValueTable>(
        (kernels) => kernels.loadValues(source, tableRows, tableColumns),
        ({ rows, columns, fullWidth }) => ({ rows, columns, fullWidth }),
      ),
    matmul: (weight, ...rest) => run((kernels) => kernels.matmul(tableOf(weight), ...rest)),
    feedForward: ({ inner, activation, outer }, ...rest) =>
      run((kernels) =>
        kernels.feedForward({ inner: linearOf(inner), activation, outer: linearOf(outer) }, ...rest),
      ),
    normalise: (...all) => run((kernels) => kernels.normalise(...all)),
    rotate: (...all) => run((kernels) => kernels.rotate(...all)),
    addInto: (...all) => run((kernels) => kernels.addInto(...all)),
    attend: (request) => run((kernels) => kernels.attend(request)),
    scoreKeys: (keys, request) => run((kernels) => kernels.scoreKeys(tableOf(keys), request)),
    selectGrid: (request) => run((kernels) => kernels.selectGrid(request)),
    select: (keys, request) => run((kernels) => kernels.select(tableOf(keys), request)),
    address: (request) => run((kernels) => kernels.address(request)),
    pool: (values, { pre, ...request }) =>
      run((kernels) =>
        kernels.pool(tableOf(values), { ...request, pre: pre && { ...pre, table: tableOf(pre.table) } }),
      ),
    dotRows: (table, request) => run((kernels) => kernels.dotRows(tableOf(table), request)),
    mergePartials: (...all) => run((kernels) => kernels.mergePartials(...all)),
    packVectors: (...all) => run((kernels) => kernels.packVectors(...all)),
    unpackVectors: (...all) => run((kernels) => kernels.unpackVectors(...all)),
    close: () => device.close(),
  };
}

type Table = Matrix | KeyTable | ValueTable;

interface Opened {
  kernels: Kernels;
  sinceMs: number;
  /** Calls under way: tables are released, and the device is closed, when none uses them. */
  calls: Set<Promise<unknown>>;
}

class LastingDevice {
  readonly #reopenKernels: () => Promise<Kernels>;
  readonly #clock: Clock;
  readonly #onEvent: (event: DeviceEvent) => void;
  /** Every handle that is out, in the order of loading, with its table on the device of now. */
  readonly #tables = new Map<Table, { now: Table; load: (kernels: Kernels) => Promise<Table> }>();
  /** Null after a loss, until the next call has opened another. */
  #current: Opened | null;
  #opening: Promise<void> | null = null;
  #retired: Promise<void> = Promise.resolve();
  /** Devices opened, or not to be had, since one went well. */
  #attempts = 0;
  #notBeforeMs = 0;

  constructor(
    kernels: Kernels,
    reopenKernels: () => Promise<Kernels>,
    clock: Clock,
    onEvent: (event: DeviceEvent) => void,
  ) {
    this.#reopenKernels = reopenKernels;
    this.#clock = clock;
    this.#onEvent = onEvent;
    this.#current = { kernels, sinceMs: clock.nowMs(), calls: new Set() };
  }

  /** @throws OperatingError DEVICE_LOST, and what `work` throws */
  readonly run = async <T>(work: (kernels: Kernels) => Promise<T>): Promise<T> => {
    while (this.#current === null) await this.#reopened();
    const opened = this.#current;
    const call = (async () => work(opened.kernels))();
    opened.calls.add(call);
    try {
      return await call;
    } catch (error) {
      if (error instanceof OperatingError && error.code === 'DEVICE_LOST') this.#lose(opened, error);
      throw error;
    } finally {
      opened.calls.delete(call);
    }
  };

  /** A handle whose table changes with the device. */
  load<T extends Table>(
    load: (kernels: Kernels) => Promise<T>,
    shapeOf: (table: T) => Omit<T, 'residentBytes' | 'release'>,
  ): Promise<T> {
    return this.run(async (kernels) => {
      const table = { now: await load(kernels), load };
      if (this.#current?.kernels !== kernels) {
        table.now.release();
        throw this.#lost('while it loaded a table');
      }
      const handle = {
        ...shapeOf(table.now),
        get residentBytes() {
          return table.now.residentBytes;
        },
        release: () => {
          if (this.#tables.delete(handle)) table.now.release();
        },
      } as T;
      this.#tables.set(handle, table);
      return handle;
    });
  }

  /** To be asked while a device is open: before that, the tables of a lost one may stand there. */
  readonly tableOf = <T extends Table>(handle: T): T => {
    const table = this.#tables.get(handle);
    assert(table !== undefined, 'a table is used by the kernels that loaded it, before its release');
    return table.now as T;
  };

  async close(): Promise<void> {
    await Promise.allSettled([this.#retired, this.#opening]);
    await this.#current?.kernels.close();
  }

  #lose(opened: Opened, error: OperatingError): void {
    if (this.#current !== opened) return;
    if (this.#clock.nowMs() - opened.sinceMs >= STEADY_MS) this.#attempts = 0;
    this.#retired = this.#retire(opened);
    this.#pause(error);
  }

  async #retire({ kernels, calls }: Opened): Promise<void> {
    await Promise.allSettled(calls);
    for (const { now } of this.#tables.values()) now.release();
    await kernels.close();
  }

  #pause(why: OperatingError): void {
    const pauseMs =
      this.#attempts === 0 ? 0 : Math.min(PAUSE_MS_MAX, PAUSE_FIRST_MS * 2 ** (this.#attempts - 1));
    this.#current = null;
    this.#notBeforeMs = this.#clock.nowMs() + pauseMs;
    this.#onEvent({ kind: 'device-lost', reason: why.message.split(';')[0], pauseMs });
  }

  /** One opening for all who wait. */
  #reopened(): Promise<void> {
    this.#opening ??= this.#reopen().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #reopen(): Promise<void> {
    const startMs = this.#clock.nowMs();
    if (startMs < this.#notBeforeMs) throw this.#lost('again and again');
    this.#attempts++;
    try {
      await this.#retired;
      const kernels = await this.#reopenKernels();
      await this.#loadAgain(kernels);
      const nowMs = this.#clock.nowMs();
      this.#current = { kernels, sinceMs: nowMs, calls: new Set() };
      this.#onEvent({ kind: 'device-reopened', tables: this.#tables.size, elapsedMs: nowMs - startMs });
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      this.#pause(error);
      throw this.#lost('and cannot be opened again yet', error);
    }
  }

  async #loadAgain(kernels: Kernels): Promise<void> {
    try {
      for (const [handle, table] of this.#tables) {
        table.now = await table.load(kernels);
        if (!this.#tables.has(handle)) table.now.release();
      }
    } catch (error) {
      for (const { now } of this.#tables.values()) now.release();
      await kernels.close();
      throw error;
    }
  }

  #lost(how: string, cause?: OperatingError): OperatingError {
    const waitMs = this.#notBeforeMs - this.#clock.nowMs();
    const when = waitMs > 0 ? `in ${Math.ceil(waitMs / 1000)} s` : 'at once';
    return codedError(
      'DEVICE_LOST',
      `the GPU device of the coordinator was lost ${how}; expected it to answer; ask again ${when}`,
      cause,
    );
  }
}
