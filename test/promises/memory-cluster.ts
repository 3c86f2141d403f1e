// A whole cluster in this process, over the in-memory transport unless told another, on a checkpoint that exists only here.
import type { Checkpoint } from '@ultramem/checkpoint';
import { type Coordinator, type CoordinatorOptions, startCoordinator } from '@ultramem/coordinator';
import { type Clock, createRandom } from '@ultramem/environment';
import { systemClock } from '@ultramem/environment-system';
import { createReferenceKernels, type Kernels } from '@ultramem/kernels';
import { parseKeysMode, parsePartition } from '@ultramem/planner';
import { loadTokenizer } from '@ultramem/tokenizer';
import { createMemoryTransport, type Transport } from '@ultramem/transport';
import { startWorker, type Worker } from '@ultramem/worker';

export interface MemoryCluster {
  transport: Transport;
  coordinator: Coordinator;
  workers: Worker[];
  startWorker(index: number): void;
  stop(): Promise<void>;
}

export async function startMemoryCluster(
  checkpoint: Checkpoint,
  shape: {
    partition: string;
    keys: string;
    capacities: readonly number[];
    frameBytesMax?: number;
    /** The first for the coordinator, all in turn for the workers; by default plain TypeScript. */
    kernels?: readonly Kernels[];
    /** The coordinator's own. */
    coordinator?: Pick<CoordinatorOptions, 'kernels' | 'reopenKernels'>;
    /** By default one in memory. */
    transport?: Transport;
    clock?: Clock;
    onEvent?: (source: string, event: object) => void;
  },
): Promise<MemoryCluster> {
  const transport = shape.transport ?? createMemoryTransport();
  const { clock = systemClock, onEvent = () => {}, kernels = [createReferenceKernels()] } = shape;
  const shared = { transport, clock, checkpoint, token: null, software: 'test/1', processBytes: () => 0 };
  const rethrow = (error: unknown): never => {
    throw error;
  };
  const coordinator = await startCoordinator({
    ...shared,
    host: shape.transport === undefined ? '' : '127.0.0.1',
    port: 0,
    kernels: kernels[0]!,
    ...shape.coordinator,
    tokenizer: loadTokenizer({
      tokenizerJson: null,
      tokenizerConfigJson: null,
      vocabSize: checkpoint.config.vocabSize,
    }),
    workersWanted: shape.capacities.length,
    partition: parsePartition(shape.partition),
    keys: parseKeysMode(shape.keys),
    clusterId: 'test',
    lookupDeadlineMs: 60_000,
    ...(shape.frameBytesMax === undefined ? {} : { frameBytesMax: shape.frameBytesMax }),
    onEvent: (event) => onEvent('coordinator', event),
    onDefect: rethrow,
  });
  const workers: Worker[] = [];
  const startOne = (index: number): void => {
    workers[index] = startWorker({
      ...shared,
      random: createRandom(index + 1),
      kernels: kernels[index % kernels.length]!,
      coordinatorUrl: coordinator.url,
      connectTimeoutMs: 5_000,
      workerId: `w${index}`,
      instance: `w${index}`,
      capacityBytes: shape.capacities[index] ?? 0,
      onEvent: (event) => onEvent(`w${index}`, event),
      onDefect: rethrow,
    });
  };
  for (const index of shape.capacities.keys()) startOne(index);
  const ended = workers.map((worker) => worker.done.then(() => new Promise<never>(() => {})));
  await Promise.race([coordinator.whenReady(), ...ended]);
  return {
    transport,
    coordinator,
    workers,
    startWorker: startOne,
    async stop() {
      await Promise.all(workers.map((worker) => worker.leave('the test is over')));
      await coordinator.close();
    },
  };
}
