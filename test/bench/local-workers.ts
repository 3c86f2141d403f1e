import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Checkpoint } from '@ultramem/checkpoint';
import { type Coordinator, type SlowLinks, startCoordinator } from '@ultramem/coordinator';
import { systemClock } from '@ultramem/environment-system';
import type { Kernels } from '@ultramem/kernels';
import { type ChildProgram, nodeProgram, type Program, startLocalWorker } from '@ultramem/local-cluster';
import { parseKeysMode, parsePartition } from '@ultramem/planner';
import { createWsTransport } from '@ultramem/transport-ws';

export interface LocalWorkers {
  coordinator: Coordinator;
  workers: ChildProgram[];
  /** From the start of the first worker process until every shard answers. */
  readyMs: number;
  stop(): Promise<void>;
}

/** A coordinator in this process and worker processes on loopback, as `ultramem up` has them. */
export async function startLocalWorkers(options: {
  kernels: Kernels;
  checkpoint: Checkpoint;
  model: string;
  count: number;
  backend: string;
  partition?: string;
  /** Elsewhere than on loopback: the address, how workers are started so that they reach it, and what is rounded on the way. */
  over?: { host: string; program: Program; slowLinks?: SlowLinks; memoryBytes?: number };
}): Promise<LocalWorkers> {
  const { kernels, checkpoint, model, count, backend, partition = 'auto', over } = options;
  const coordinator = await startCoordinator({
    ...{
      transport: createWsTransport(),
      host: over?.host ?? '127.0.0.1',
      port: 0,
      clock: systemClock,
      kernels,
      checkpoint,
    },
    ...{
      tokenizer: null,
      workersWanted: count,
      partition: parsePartition(partition),
      keys: parseKeysMode('auto'),
    },
    ...(over?.slowLinks === undefined ? {} : { slowLinks: over.slowLinks }),
    ...{ token: null, clusterId: 'bench', software: 'bench', lookupDeadlineMs: 60_000 },
    processBytes: () => process.memoryUsage.rss(),
    onEvent: () => {},
    onDefect: (error) => {
      throw error;
    },
  });
  const workers: ChildProgram[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.stop()));
    await coordinator.close();
  };
  try {
    const startMs = performance.now();
    const threads = Math.max(1, Math.floor(availableParallelism() / count)); // as `ultramem up` shares the cores
    for (let index = 0; index < count; index++)
      workers.push(
        startLocalWorker(
          {
            ...{ program: over?.program ?? ownProgram(), model, backends: [backend], threads },
            ...(over?.memoryBytes === undefined ? {} : { memoryBytes: [over.memoryBytes] }),
          },
          coordinator.url,
          index,
        ),
      );
    const ended = workers.map((worker) => worker.message('ready').then(() => new Promise<never>(() => {})));
    await Promise.race([coordinator.whenReady(), ...ended]);
    return { coordinator, workers, readyMs: performance.now() - startMs, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The command line: built, or from the sources where this process runs from them. */
export function ownProgram(): Program {
  const path = (file: string): string => fileURLToPath(new URL(`../../apps/cli/${file}`, import.meta.url));
  const fromSource = process.execArgv.some((flag) => flag.startsWith('--conditions'));
  return fromSource
    ? nodeProgram(path('src/main.ts'), process.execArgv)
    : nodeProgram(path('bin/ultramem.js'));
}
