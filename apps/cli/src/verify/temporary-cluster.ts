import type { Backend } from '@ultramem/backends';
import type { Checkpoint } from '@ultramem/checkpoint';
import { stopOnDefect } from '@ultramem/command-line';
import { type Coordinator, startCoordinator } from '@ultramem/coordinator';
import { randomHex, systemClock } from '@ultramem/environment-system';
import type { Kernels } from '@ultramem/kernels';
import { startLocalWorker } from '@ultramem/local-cluster';
import type { KeysMode, Partition } from '@ultramem/planner';
import type { Tokenizer } from '@ultramem/tokenizer';
import { createWsTransport } from '@ultramem/transport-ws';
import { PROGRAM, SOFTWARE } from '../program.ts';

export interface ClusterShape {
  workers: number;
  partition: Partition | 'auto';
  keys: KeysMode;
  /** The first for this process, all in turn for the workers. */
  backends: readonly (Backend | 'auto')[];
}

const LOOKUP_DEADLINE_MS = 60_000;

/** Runs `use` with a coordinator in this process and real worker processes, and stops them whatever happens. */
export async function withCluster<T>(
  shape: ClusterShape,
  model: { path: string; checkpoint: Checkpoint; kernels: Kernels; tokenizer: Tokenizer | null },
  use: (coordinator: Coordinator) => Promise<T>,
): Promise<T> {
  const coordinator = await startCoordinator({
    transport: createWsTransport(),
    host: '127.0.0.1',
    port: 0,
    clock: systemClock,
    kernels: model.kernels,
    checkpoint: model.checkpoint,
    tokenizer: model.tokenizer,
    workersWanted: shape.workers,
    partition: shape.partition,
    keys: shape.keys,
    token: null,
    clusterId: `verify-${randomHex(4)}`,
    software: SOFTWARE,
    lookupDeadlineMs: LOOKUP_DEADLINE_MS,
    processBytes: () => process.memoryUsage.rss(),
    onEvent: () => {},
    onDefect: stopOnDefect,
  });
  const workers = Array.from({ length: shape.workers }, (_, index) =>
    startLocalWorker(
      { program: PROGRAM, model: model.path, backends: shape.backends },
      coordinator.url,
      index,
    ),
  );
  try {
    // A worker that cannot start says why; without this the wait would have no end.
    await Promise.race([
      coordinator.whenReady(),
      ...workers.map((worker) => worker.message('ready').then(() => coordinator.whenReady())),
    ]);
    return await use(coordinator);
  } finally {
    await coordinator.close();
    await Promise.all(workers.map((worker) => worker.stop()));
  }
}
