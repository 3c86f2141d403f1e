import { memoryLimitBytes } from '@ultramem/environment-system';
import { OperatingError } from '@ultramem/invariant';
import type { Program } from '@ultramem/local-cluster';
import { defaultProgram } from './default-program.ts';
import { startInProcessCluster } from './in-process-cluster.ts';
import { startProcessCluster } from './process-cluster.ts';
import { connectTestCluster, type TestCluster } from './test-cluster.ts';

export interface ClusterOptions {
  /** Directory with config.json and model.safetensors. */
  model: string;
  /** Default 2. */
  workers?: number;
  /** `slots`, `columns`, `grid:ROWSxCOLUMNS` or `auto`, the default. */
  partition?: string;
  /** Who scores keys: `coordinator`, `workers` or `auto`, the default. */
  keys?: string;
  /** Kernels by name; `auto`, the default, takes the best of this machine. Several by commas go to the workers in turn. */
  backend?: string;
  /** Everything in the calling process over a transport in memory: starts at once, but no worker can be paused. Default false. */
  inProcess?: boolean;
  /** A lookup fails when a worker has not answered by then. Default 10 s. */
  lookupTimeoutMs?: number;
  /** For the slices of each worker, in the order of the workers. Default 80 % of the machine each. */
  memoryBytes?: readonly number[];
  /** The shared secret that processes and clients must know. Default none. */
  token?: string;
  /** The command line to start processes with. Default that of the package `ultramem`. */
  program?: Program;
}

/** Options with every default in its place. */
export interface ClusterSettings extends Required<Omit<ClusterOptions, 'inProcess' | 'token'>> {
  token: string | null;
}

const LOOKUP_TIMEOUT_MS = 10_000;
const MEMORY_SHARE = 0.8;

/**
 * A real cluster for a test, on a port of its own: one coordinator, its workers and a connected client. When the promise resolves, every
 * shard answers. The processes end with `stop`, with `await using`, and with this process, however it ends.
 *
 * @throws OperatingError what the first process that gave up said, such as PLAN_IMPOSSIBLE or CHECKPOINT_NOT_FOUND, after the others
 * were stopped; USAGE for options that make no sense
 */
export async function startCluster(options: ClusterOptions): Promise<TestCluster> {
  const settings = settingsOf(options);
  const running = options.inProcess
    ? await startInProcessCluster(settings)
    : await startProcessCluster(settings);
  try {
    return await connectTestCluster(running, settings.token);
  } catch (error) {
    await running.stop();
    throw error;
  }
}

function settingsOf(options: ClusterOptions): ClusterSettings {
  const { model, workers = 2, partition = 'auto', keys = 'auto', backend = 'auto' } = options;
  if (!Number.isInteger(workers) || workers < 1)
    throw usage(`workers is ${workers}`, 'a whole number of at least 1', 'correct it');
  const {
    memoryBytes = Array.from({ length: workers }, () => Math.floor(MEMORY_SHARE * memoryLimitBytes())),
  } = options;
  if (memoryBytes.length !== workers)
    throw usage(
      `memoryBytes has ${memoryBytes.length} numbers for ${workers} workers`,
      'one for each',
      'correct it',
    );
  const { token = null } = options;
  if (token !== null && !/^\S+( +\S+)*$/.test(token))
    throw usage(
      'the token is empty, has several lines or has blanks at an end',
      'what fits the first line of a file',
      'choose another',
    );
  const { lookupTimeoutMs = LOOKUP_TIMEOUT_MS, program = defaultProgram() } = options;
  return { model, workers, partition, keys, backend, lookupTimeoutMs, memoryBytes, token, program };
}

function usage(wrong: string, expected: string, remedy: string): OperatingError {
  return new OperatingError('USAGE', `${wrong}; expected ${expected}; ${remedy}`);
}
