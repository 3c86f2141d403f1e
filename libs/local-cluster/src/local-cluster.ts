import { type ChildProgram, type Program, type ProgramMessage, startChild } from './child-program.ts';

export interface LocalClusterOptions {
  program: Program;
  model: string;
  workers: number;
  /** 0 picks a free one. */
  port: number;
  host?: string;
  partition?: string;
  keys?: string;
  /** Names of kernels: the first for the coordinator, all in turn for the workers. */
  backends?: readonly string[];
  /** Threads of each worker's kernels; by default the cores are shared out. */
  threads?: number;
  /** What weights stored in bf16 multiply: f32 or bf16. */
  activations?: string;
  tokenFile?: string | null;
  /** For the slices of each worker, in the order of the workers; by default all alike. */
  memoryBytes?: readonly number[];
  lookupTimeoutMs?: number;
  /** Loading messages of every process, for a progress display. */
  onMessage?: (name: string, message: ProgramMessage) => void;
}

type WorkerOptions = Pick<
  LocalClusterOptions,
  'model' | 'backends' | 'threads' | 'tokenFile' | 'memoryBytes'
>;

export interface LocalCluster {
  readonly url: string;
  readonly coordinator: ChildProgram;
  readonly workers: ChildProgram[];
  /** Starts worker number `index` anew in the place of one that has ended. */
  restartWorker(index: number): Promise<void>;
  stop(): Promise<void>;
}

/**
 * One coordinator and its workers as processes of this machine. Resolves when every shard answers.
 *
 * @throws OperatingError what the first program that gave up said, after the others were stopped
 */
export async function startLocalCluster(options: LocalClusterOptions): Promise<LocalCluster> {
  const { program, workers: count, onMessage = () => {} } = options;
  const coordinator = startChild(program, 'coordinator', coordinatorArgs(options), (message) =>
    onMessage('coordinator', message),
  );
  const workers: ChildProgram[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all([...workers.map((worker) => worker.stop()), coordinator.stop()]);
  };
  const ready = coordinator.message('ready'); // before anything else can fail, so that a failure is never unhandled
  ready.catch(() => {});
  try {
    const { url } = await coordinator.message('listening');
    const startWorker = (index: number): ChildProgram =>
      startChild(program, `worker-${index}`, workerArgs(options, url, index), (message) =>
        onMessage(`worker-${index}`, message),
      );
    for (let index = 0; index < count; index++) workers.push(startWorker(index));
    // A worker that cannot start would leave the coordinator waiting for ever.
    await Promise.race([ready, ...workers.map((worker) => worker.message('ready').then(() => ready))]);
    return {
      url,
      coordinator,
      workers,
      async restartWorker(index) {
        await workers[index].stop();
        workers[index] = startWorker(index);
        await workers[index].message('ready');
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** One worker process for a coordinator that runs elsewhere, such as inside the calling process. */
export function startLocalWorker(
  options: { program: Program } & WorkerOptions,
  url: string,
  index: number,
): ChildProgram {
  return startChild(options.program, `worker-${index}`, workerArgs(options, url, index));
}

function coordinatorArgs(options: LocalClusterOptions): string[] {
  const { model, workers, port, host, partition, keys, backends, activations, tokenFile, lookupTimeoutMs } =
    options;
  return [
    'coordinator',
    ...flag('--model', model),
    ...flag('--workers', `${workers}`),
    ...flag('--port', `${port}`),
    ...flag('--host', host),
    ...flag('--partition', partition),
    ...flag('--keys', keys),
    ...flag('--backend', backends?.[0]),
    ...flag('--activations', activations),
    ...flag('--token-file', tokenFile),
    ...flag('--lookup-timeout', lookupTimeoutMs === undefined ? undefined : `${lookupTimeoutMs / 1000}`),
  ];
}

function workerArgs(options: WorkerOptions, url: string, index: number): string[] {
  const { model, backends, threads, tokenFile, memoryBytes } = options;
  return [
    'worker',
    ...flag('--coordinator', url),
    ...flag('--model', model),
    ...flag('--id', `worker-${index}`),
    ...flag('--backend', backends?.[index % backends.length]),
    ...flag('--threads', threads === undefined ? undefined : `${threads}`),
    ...flag('--token-file', tokenFile),
    ...flag('--memory', memoryBytes?.[index] === undefined ? undefined : `${memoryBytes[index]}`),
  ];
}

function flag(name: string, value: string | null | undefined): string[] {
  return value === null || value === undefined ? [] : [name, value];
}
