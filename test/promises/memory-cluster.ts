// A whole cluster in this process, over the in-memory transport, on a checkpoint that exists only here.
import { type Checkpoint, memoryDirectory, openCheckpoint, synthCheckpoint } from '@ultramem/checkpoint';
import { type Coordinator, startCoordinator } from '@ultramem/coordinator';
import { createRandom } from '@ultramem/environment';
import { systemClock } from '@ultramem/environment-system';
import { createReferenceKernels } from '@ultramem/kernels';
import { parseKeysMode, parsePartition } from '@ultramem/planner';
import { loadTokenizer } from '@ultramem/tokenizer';
import { createMemoryTransport } from '@ultramem/transport';
import { startWorker, type Worker } from '@ultramem/worker';

export interface MemoryCluster {
  coordinator: Coordinator;
  stop(): Promise<void>;
}

/** A seeded checkpoint in memory; `config` in the reference's keys. */
export async function synthesise(config: Record<string, unknown>, seed: number): Promise<Checkpoint> {
  const pieces: Uint8Array[] = [];
  const sink = { write: async (bytes: Uint8Array) => void pieces.push(bytes.slice()) };
  await synthCheckpoint(config, { seed, dtype: seed % 2 === 0 ? 'BF16' : 'F32' }, sink);
  const files = new Map<string, string | Uint8Array>([
    ['config.json', JSON.stringify(config)],
    ['model.safetensors', Buffer.concat(pieces)],
  ]);
  return openCheckpoint(memoryDirectory('synthetic', files), { parts: 'all' });
}

export async function startMemoryCluster(
  checkpoint: Checkpoint,
  shape: { partition: string; keys: string; capacities: readonly number[]; frameBytesMax?: number },
): Promise<MemoryCluster> {
  const transport = createMemoryTransport();
  const shared = { transport, clock: systemClock, checkpoint, token: null, software: 'test/1', processBytes: () => 0 };
  const rethrow = (error: unknown): never => {
    throw error;
  };
  const coordinator = await startCoordinator({
    ...shared,
    host: '',
    port: 0,
    kernels: createReferenceKernels(),
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
    onEvent: () => {},
    onDefect: rethrow,
  });
  const workers = shape.capacities.map(
    (capacityBytes, i): Worker =>
      startWorker({
        ...shared,
        random: createRandom(i + 1),
        kernels: createReferenceKernels(),
        coordinatorUrl: coordinator.url,
        connectTimeoutMs: 5_000,
        workerId: `w${i}`,
        instance: `w${i}`,
        capacityBytes,
        onEvent: () => {},
        onDefect: rethrow,
      }),
  );
  const ended = workers.map((worker) => worker.done.then(() => new Promise<never>(() => {})));
  await Promise.race([coordinator.whenReady(), ...ended]);
  return {
    coordinator,
    async stop() {
      await Promise.all(workers.map((worker) => worker.leave('the test is over')));
      await coordinator.close();
    },
  };
}
