import { OperatingError } from '@ultramem/invariant';
import { type ChildProgram, type LocalCluster, startLocalCluster } from '@ultramem/local-cluster';
import { createWsTransport } from '@ultramem/transport-ws';
import { forgetFrozen, rememberFrozen } from './frozen-reaper.ts';
import type { RunningCluster, RunningWorker } from './running-cluster.ts';
import type { ClusterSettings } from './start-cluster.ts';
import { createTokenFile, type TokenFile } from './token-file.ts';

/**
 * Coordinator and workers as processes of this machine. They end with this process: on an orderly exit at once, otherwise because
 * their message channel to it closes.
 *
 * @throws OperatingError what the first process that gave up said
 */
export async function startProcessCluster(settings: ClusterSettings): Promise<RunningCluster> {
  const tokenFile = createTokenFile(settings.token);
  const { program, model, workers: count, partition, keys, backend, memoryBytes, lookupTimeoutMs } = settings;
  const cluster = await tokenFile.during(() =>
    startLocalCluster({
      program,
      model,
      workers: count,
      port: 0,
      host: '127.0.0.1',
      partition,
      keys,
      backends: backend.split(','),
      memoryBytes,
      lookupTimeoutMs,
      tokenFile: tokenFile.path,
    }),
  );
  const onExit = (): void => {
    for (const child of [cluster.coordinator, ...cluster.workers]) child.signal('SIGKILL');
  };
  process.once('exit', onExit);
  return {
    url: cluster.url,
    transport: createWsTransport(),
    coordinatorPid: cluster.coordinator.pid,
    workers: cluster.workers.map((_, index) => processWorker(cluster, index, tokenFile)),
    async stop() {
      await cluster.stop();
      process.off('exit', onExit);
    },
  };
}

function processWorker(cluster: LocalCluster, index: number, tokenFile: TokenFile): RunningWorker {
  const ended = new WeakSet<ChildProgram>();
  const child = (): ChildProgram => cluster.workers[index];
  const watch = (): void => {
    const watched = child();
    void watched.exited.then(() => {
      ended.add(watched);
      forgetFrozen(watched.pid);
    });
  };
  const living = (): ChildProgram => {
    if (!ended.has(child())) return child();
    throw new OperatingError('USAGE', `${child().name} has ended; expected it to run; restart it first`);
  };
  watch();
  return {
    id: child().name,
    get pid() {
      return ended.has(child()) ? null : child().pid;
    },
    async kill() {
      child().signal('SIGKILL');
      await child().exited;
    },
    async pause() {
      await rememberFrozen(living().pid);
      living().signal('SIGSTOP');
    },
    async resume() {
      living().signal('SIGCONT');
      forgetFrozen(child().pid);
    },
    async restart() {
      try {
        await tokenFile.during(() => cluster.restartWorker(index));
      } finally {
        watch();
      }
    },
  };
}
