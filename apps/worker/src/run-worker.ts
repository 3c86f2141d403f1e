import { type Backend, openBackend } from '@ultramem/backends';
import { openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import {
  endWithParent,
  log,
  onStopSignal,
  startProgress,
  stopOnDefect,
  tellParent,
} from '@ultramem/command-line';
import { createRandom } from '@ultramem/environment';
import {
  memoryLimitBytes,
  randomHex,
  randomSeed,
  systemClock,
  watchEventLoop,
} from '@ultramem/environment-system';
import { OperatingError } from '@ultramem/invariant';
import { formatBytes } from '@ultramem/planner';
import { createWsTransport } from '@ultramem/transport-ws';
import { startWorker, type WorkerEvent } from '@ultramem/worker';

export interface WorkerFlags {
  coordinatorUrl: string;
  modelPath: string;
  workerId: string | null;
  capacityBytes: number;
  token: string | null;
  connectTimeoutMs: number;
  backend: Backend | 'auto';
  device: string | null;
  threads: number | null;
}

/** The worker in the real world: files, sockets, the clock. Resolves when it has left. */
export async function runWorker(flags: WorkerFlags): Promise<void> {
  endWithParent();
  const openKernels = () =>
    openBackend({ ...flags, onFallback: (fallback) => log('backend-fallback', fallback) });
  const kernels = await openKernels();
  const checkpoint = await openCheckpoint(fileDirectory(flags.modelPath), { parts: 'memory' });
  if (checkpoint.geometry === null)
    throw new OperatingError(
      'PLAN_IMPOSSIBLE',
      `${flags.modelPath} has no memory layers (mem_insert_way is no_mem); expected some for a worker to hold; run it with: ultramem generate --model DIR`,
    );
  const workerId = flags.workerId ?? `worker-${randomHex(4)}`;
  log('worker-start', {
    id: workerId,
    coordinator: flags.coordinatorUrl,
    model: flags.modelPath,
    memory: formatBytes(flags.capacityBytes),
    backend: kernels.backend,
    connectTimeoutS: flags.connectTimeoutMs / 1000,
  });
  const worker = startWorker({
    transport: createWsTransport(),
    clock: systemClock,
    random: createRandom(randomSeed()),
    kernels,
    reopenKernels: openKernels,
    checkpoint,
    coordinatorUrl: flags.coordinatorUrl,
    connectTimeoutMs: flags.connectTimeoutMs,
    token: flags.token,
    software: 'ultramem/0.1.0',
    workerId,
    instance: randomHex(8),
    capacityBytes: flags.capacityBytes,
    processBytes: () => process.memoryUsage.rss(),
    loopDelay: watchEventLoop(),
    onEvent: createEventLog(),
    onDefect: stopOnDefect,
  });
  onStopSignal((signal) => worker.leave(`stopped by ${signal}`));
  await worker.done;
  await checkpoint.close();
}

/** Mapped tables may be larger than memory; whoever did not mean that should hear of it, since lookups then wait for the disk. */
function warnWhenCrowded(sliceBytes: number): void {
  const limitBytes = memoryLimitBytes();
  if (sliceBytes <= limitBytes) return;
  log('larger-than-memory', {
    slice: formatBytes(sliceBytes),
    memory: formatBytes(limitBytes),
    consequence: 'native kernels read rows from the disk again and again, others do not fit',
    remedy: 'more workers, more memory, or ultramem convert --values int8',
  });
}

function createEventLog(): (event: WorkerEvent) => void {
  let progress: ReturnType<typeof startProgress> | null = null;
  return (event) => {
    switch (event.kind) {
      case 'state':
        log(event.state, { reason: event.reason });
        break;
      case 'loading':
        if (progress === null) warnWhenCrowded(event.totalBytes);
        progress ??= startProgress('loading', event.totalBytes, formatBytes);
        progress.update(event.loadedBytes);
        tellParent({ kind: 'progress', loadedBytes: event.loadedBytes });
        break;
      case 'ready':
        progress?.stop();
        progress = null;
        log('ready', { shard: event.shard, epoch: event.epoch, held: formatBytes(event.residentBytes) });
        tellParent({ kind: 'ready', shard: event.shard });
        break;
    }
  };
}
