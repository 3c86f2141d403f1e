import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
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
import { type CoordinatorEvent, type SlowLinks, startCoordinator } from '@ultramem/coordinator';
import { randomHex, systemClock, watchEventLoop } from '@ultramem/environment-system';
import { createHttpFiles } from '@ultramem/http-files';
import { checkActivations } from '@ultramem/inference';
import type { ActivationDType } from '@ultramem/kernels';
import { explainPlan, formatPartition, type KeysMode, type Partition } from '@ultramem/planner';
import { loadTokenizer } from '@ultramem/tokenizer';
import { createWsTransport } from '@ultramem/transport-ws';
import type { MemoryGeometry } from '@ultramem/ultramem';
import { notedDirectory } from './noted-directory.ts';

export interface CoordinatorFlags {
  modelPath: string;
  workersWanted: number;
  host: string;
  port: number;
  token: string | null;
  /** Origins of pages elsewhere that may join and read the model. */
  allowedOrigins: readonly string[];
  partition: Partition | 'auto';
  keys: KeysMode;
  slowLinks: SlowLinks;
  lookupDeadlineMs: number;
  backend: Backend | 'auto';
  device: string | null;
  threads: number | null;
  activations: ActivationDType;
}

/** The coordinator in the real world: files, sockets, the clock. Resolves when it listens; it then runs until a signal. */
export async function runCoordinator(flags: CoordinatorFlags): Promise<void> {
  endWithParent();
  const openKernels = () =>
    openBackend({ ...flags, onFallback: (fallback) => log('backend-fallback', fallback) });
  const kernels = await openKernels();
  const { directory, found } = notedDirectory(fileDirectory(flags.modelPath));
  const checkpoint = await openCheckpoint(directory, { parts: 'all' });
  checkActivations(checkpoint, flags.activations);
  const tokenizer = loadTokenizer({
    tokenizerJson: await directory.readText('tokenizer.json'),
    tokenizerConfigJson: await directory.readText('tokenizer_config.json'),
    vocabSize: checkpoint.config.vocabSize,
  });
  log('coordinator-start', {
    model: flags.modelPath,
    workers: flags.workersWanted,
    host: flags.host,
    port: flags.port,
    token: flags.token === null ? 'none' : 'required',
    allowOrigin: flags.allowedOrigins.join(',') || 'none',
    partition: flags.partition === 'auto' ? 'auto' : formatPartition(flags.partition),
    keys: flags.keys,
    slowLinks: flags.slowLinks.encoding,
    lookupTimeoutS: flags.lookupDeadlineMs / 1000,
    backend: kernels.backend,
    activations: flags.activations.toLowerCase(),
  });
  const { token, allowedOrigins } = flags;
  const onHttp = await createHttpFiles({
    model: { directory: flags.modelPath, names: found, fingerprint: checkpoint.fingerprint },
    pageDirectory: workerPageDirectory(),
    token,
    allowedOrigins,
  });
  const coordinator = await startCoordinator({
    ...flags,
    transport: createWsTransport({ onHttp, allowedOrigins, loopbackNamesOnly: token === null }),
    clock: systemClock,
    kernels,
    // No other backend loses its device, and all would pay for it in every call.
    ...(kernels.backend === 'webgpu' ? { reopenKernels: openKernels } : {}),
    checkpoint,
    tokenizer,
    clusterId: `cluster-${randomHex(4)}`,
    software: 'ultramem/0.1.0',
    processBytes: () => process.memoryUsage.rss(),
    loopDelay: watchEventLoop(),
    onEvent: createEventLog(checkpoint.geometry),
    onDefect: stopOnDefect,
  });
  process.stdout.write(`${coordinator.url}\n`);
  log('listening', { url: coordinator.url, workerPage: `${coordinator.url.replace(/^ws/, 'http')}/worker/` });
  tellParent({ kind: 'listening', url: coordinator.url });
  onStopSignal(async () => {
    await coordinator.close();
    await checkpoint.close();
  });
}

/** Where the build has put the page with which a browser joins as a worker. */
function workerPageDirectory(): string {
  const manifest = createRequire(import.meta.url).resolve('@ultramem/browser-worker/package.json');
  return join(dirname(manifest), 'dist');
}

function createEventLog(geometry: MemoryGeometry | null): (event: CoordinatorEvent) => void {
  let progress: ReturnType<typeof startProgress> | null = null;
  return (event) => {
    if (event.kind === 'loading') {
      progress ??= startProgress('loading', event.total);
      progress.update(event.loaded);
      return;
    }
    progress?.stop();
    progress = null;
    const { kind, ...facts } = event;
    if (event.kind === 'planned' && geometry !== null) {
      log('planned', { partition: formatPartition(event.plan.partition), keys: event.plan.keys });
      process.stderr.write(`${explainPlan(event.plan, geometry)}\n`);
      tellParent({ kind: 'plan', text: explainPlan(event.plan, geometry) });
      return;
    }
    log(kind, facts as Record<string, string | number | null>);
    if (kind === 'ready') tellParent({ kind: 'ready' });
  };
}
