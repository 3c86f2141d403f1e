import { type Client, connectClient } from '@ultramem/client';
import { systemClock } from '@ultramem/environment-system';
import { OperatingError } from '@ultramem/invariant';
import type { RunningCluster, RunningWorker } from './running-cluster.ts';

/** A running cluster and a client of it. */
export interface TestCluster
  extends Pick<Client, 'generate' | 'evaluate' | 'explain' | 'status'>,
    AsyncDisposable {
  /** What more workers and clients dial; within one process only `connect` reaches it. */
  readonly url: string;
  /** Connected before the first test; its connection ends when the coordinator does. */
  readonly client: Client;
  readonly workers: readonly TestWorker[];
  /** Null within this process. */
  readonly coordinatorPid: number | null;
  /** One more client. It ends with the cluster. @throws OperatingError UNAUTHORIZED, CONNECT_FAILED, CONNECTION_LOST */
  connect(options?: { token?: string | null }): Promise<Client>;
  /** Ends every process; harmless when they have ended. */
  stop(): Promise<void>;
}

export interface TestWorker {
  readonly id: string;
  /** Null within this process, and when it has ended. */
  readonly pid: number | null;
  /** Ends it without a goodbye, as a crash would (SIGKILL). Resolves when it is gone. */
  kill(): Promise<void>;
  /** Freezes it: its connection stays open and it answers nothing (SIGSTOP). @throws OperatingError USAGE within one process, or when it has ended */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Starts it anew under the same id. Resolves when it answers for its shard again. */
  restart(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 10_000;
const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 20;

/** Connects a client to what runs. */
export async function connectTestCluster(
  running: RunningCluster,
  token: string | null,
): Promise<TestCluster> {
  const clients: Client[] = [];
  const connect = async (options: { token?: string | null } = {}): Promise<Client> => {
    const { url, transport } = running;
    const given = options.token === undefined ? token : options.token;
    const client = await connectClient({
      transport,
      clock: systemClock,
      url,
      token: given,
      software: 'ultramem-testing/0.1.0',
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
    });
    clients.push(client);
    return client;
  };
  const client = await connect();
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => {
    stopping ??= endAll(running, clients);
    return stopping;
  };
  return {
    url: running.url,
    client,
    generate: client.generate,
    evaluate: client.evaluate,
    explain: client.explain,
    status: client.status,
    workers: running.workers.map((worker) => testWorker(worker, connect)),
    coordinatorPid: running.coordinatorPid,
    connect,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function endAll(running: RunningCluster, clients: readonly Client[]): Promise<void> {
  for (const client of clients) client.close();
  await running.stop();
}

function testWorker(worker: RunningWorker, connect: () => Promise<Client>): TestWorker {
  return {
    id: worker.id,
    get pid() {
      return worker.pid;
    },
    kill: () => worker.kill(),
    pause: () => worker.pause(),
    resume: () => worker.resume(),
    async restart() {
      await worker.restart();
      const client = await connect(); // the first one has ended where a test replaced the coordinator
      await workerReady(client, worker.id);
      client.close();
    },
  };
}

/** Waits until the coordinator has heard that the worker is ready: the worker itself knows it a moment earlier. */
async function workerReady(client: Client, id: string): Promise<void> {
  const deadlineAtMs = systemClock.nowMs() + READY_TIMEOUT_MS;
  for (;;) {
    const { workers } = await client.status();
    if (workers.some(({ workerId, state }) => workerId === id && state === 'ready')) return;
    if (systemClock.nowMs() > deadlineAtMs)
      throw new OperatingError(
        'DEADLINE_EXCEEDED',
        `${id} is not ready ${READY_TIMEOUT_MS / 1000} s after its restart; expected it to take its shard again; look at the cluster's status`,
      );
    await new Promise<void>((resolve) => void systemClock.after(POLL_MS, resolve));
  }
}
