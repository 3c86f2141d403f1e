import { openBackend, parseBackend } from '@ultramem/backends';
import { type Checkpoint, openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { type Coordinator, startCoordinator } from '@ultramem/coordinator';
import { createRandom } from '@ultramem/environment';
import { randomHex, randomSeed, systemClock } from '@ultramem/environment-system';
import { OperatingError } from '@ultramem/invariant';
import type { Kernels } from '@ultramem/kernels';
import { parseKeysMode, parsePartition } from '@ultramem/planner';
import { loadTokenizer, type Tokenizer } from '@ultramem/tokenizer';
import { createMemoryTransport, type Transport } from '@ultramem/transport';
import { startWorker, type Worker } from '@ultramem/worker';
import { type CuttableTransport, cuttableTransport } from './cuttable-transport.ts';
import type { RunningCluster, RunningWorker } from './running-cluster.ts';
import type { ClusterSettings } from './start-cluster.ts';

const SOFTWARE = 'ultramem-testing/0.1.0';
const CONNECT_TIMEOUT_MS = 60_000;
const processBytes = (): number => process.memoryUsage.rss();

/** What coordinator and workers of one process share. */
interface World {
  settings: ClusterSettings;
  transport: Transport;
  kernels: Kernels;
  checkpoint: Checkpoint;
}

/**
 * The same coordinator and workers within this process, over a transport in memory.
 *
 * @throws OperatingError what the first part that gave up said
 */
export async function startInProcessCluster(settings: ClusterSettings): Promise<RunningCluster> {
  const kernels = await openBackend({ backend: parseBackend(settings.backend) });
  const directory = fileDirectory(settings.model);
  const checkpoint = await openCheckpoint(directory, { parts: 'all' });
  try {
    const tokenizer = loadTokenizer({
      tokenizerJson: await directory.readText('tokenizer.json'),
      tokenizerConfigJson: await directory.readText('tokenizer_config.json'),
      vocabSize: checkpoint.config.vocabSize,
    });
    return await run({ settings, transport: createMemoryTransport(), kernels, checkpoint }, tokenizer);
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

async function run(world: World, tokenizer: Tokenizer): Promise<RunningCluster> {
  const { settings, transport, checkpoint } = world;
  const coordinator = await startCoordinator({
    ...world,
    host: 'memory',
    port: 0,
    clock: systemClock,
    tokenizer,
    workersWanted: settings.workers,
    partition: parsePartition(settings.partition),
    keys: parseKeysMode(settings.keys),
    token: settings.token,
    clusterId: `cluster-${randomHex(4)}`,
    software: SOFTWARE,
    lookupDeadlineMs: settings.lookupTimeoutMs,
    processBytes,
    onEvent: () => {},
    onDefect: rethrow,
  });
  const workers = settings.memoryBytes.map((_, index) => inProcessWorker(world, coordinator, index));
  const end = async (): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.leave()));
    await coordinator.close();
  };
  try {
    await Promise.race([coordinator.whenReady(), ...workers.map((worker) => worker.refused())]);
  } catch (error) {
    await end();
    throw error;
  }
  let ending: Promise<void> | null = null;
  return {
    url: coordinator.url,
    transport,
    coordinatorPid: null,
    workers,
    stop() {
      ending ??= end().then(() => checkpoint.close());
      return ending;
    },
  };
}

interface InProcessWorker extends RunningWorker {
  /** Rejects when the worker of now gives up, with its reason; otherwise never settles. */
  refused(): Promise<never>;
  leave(): Promise<void>;
}

function inProcessWorker(world: World, coordinator: Coordinator, index: number): InProcessWorker {
  const id = `worker-${index}`;
  const start = (): { worker: Worker; cuttable: CuttableTransport } => {
    const cuttable = cuttableTransport(world.transport);
    const { settings, kernels, checkpoint } = world;
    const worker = startWorker({
      transport: cuttable.transport,
      clock: systemClock,
      random: createRandom(randomSeed()),
      kernels,
      checkpoint,
      coordinatorUrl: coordinator.url,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      token: settings.token,
      software: SOFTWARE,
      workerId: id,
      instance: randomHex(8),
      capacityBytes: settings.memoryBytes[index],
      processBytes,
      onEvent: () => {},
      onDefect: rethrow,
    });
    worker.done.catch(rethrowDefect);
    return { worker, cuttable };
  };
  let now = start();
  const kill = async (): Promise<void> => {
    now.cuttable.cut();
    await now.worker.done.catch(rethrowDefect);
  };
  return {
    id,
    pid: null,
    kill,
    async restart() {
      await kill();
      now = start();
    },
    pause: () => Promise.reject(notAlone(id, 'paused')),
    resume: () => Promise.reject(notAlone(id, 'resumed')),
    refused: () => now.worker.done.then(() => new Promise<never>(() => {})),
    leave: () => now.worker.leave('the test is over'),
  };
}

function notAlone(id: string, what: string): OperatingError {
  return new OperatingError(
    'USAGE',
    `${id} runs within the process of the test and cannot be ${what} alone; expected a worker process; leave inProcess out`,
  );
}

/** A worker that ends with a reason is no defect: the coordinator's status and failing lookups show it. */
function rethrowDefect(error: unknown): void {
  if (!(error instanceof OperatingError)) rethrow(error);
}

/** A defect of this project must not pass unseen: outside any promise, it fails the test run. */
function rethrow(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
