import { type Backend, openBackend, probeBackends } from '@ultramem/backends';
import { type Checkpoint, openCheckpoint, valueTableName } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { createLocalLookup, loadMemoryLayers, type MemoryLookup } from '@ultramem/inference';
import type { Kernels } from '@ultramem/kernels';
import { winnersPerToken } from '@ultramem/ultramem';
import type { BenchCase } from '../bench-case.ts';
import type { BenchContext } from '../bench-context.ts';
import { ownSide } from '../interleave.ts';
import { layerConfig, randomQueries } from '../layer-model.ts';
import { againstTime, comparison, figure, missing, type Subject } from '../row.ts';
import { quantile } from '../statistics.ts';
import { drawEntries } from './pool.ts';
import { requestsOf } from './select.ts';

const LOOKUP_GOAL = 10;
const GATHER_GOAL = 0.6;
const LARGE_BATCH = 4096;
const MEGA = 2 ** 20;

/** A whole lookup in one process on each backend with a device, beside this one's kernels; on a GPU also against its memory. */
export const backends: BenchCase = {
  name: 'backends',
  about:
    "whole lookups on TensorFlow and WebGPU beside the processor's kernels, and a GPU's pooling beside its memory",
  async run(context) {
    const probes = await probeBackends();
    const processor = await context.kernels();
    const directory = await context.model(layerConfig(context.options.shape), 'BF16');
    for (const name of ['tensorflow', 'webgpu'] as const) {
      const probe = probes.find((candidate) => candidate.backend === name);
      const subject: Subject = {
        case: 'backends',
        what: 'whole lookup, one process',
        backend: name,
        dtype: 'BF16',
      };
      if (probe === undefined || !probe.available || processor.backend === name) {
        const why =
          probe?.available === false
            ? `${probe.why}; ${probe.remedy}`
            : 'take another one as --backend to compare with';
        context.report(missing({ ...subject, note: why }, LOOKUP_GOAL));
        continue;
      }
      await measureBackend(context, {
        subject: { ...subject, note: probe.detail },
        name,
        processor,
        directory,
        onGpu: probe.onGpu,
      });
    }
  },
};

interface Measured {
  subject: Subject;
  name: Backend;
  processor: Kernels;
  directory: string;
  onGpu: boolean;
}

async function measureBackend(context: BenchContext, of: Measured): Promise<void> {
  const { options } = context;
  const { subject, processor, directory, onGpu } = of;
  const kernels = await openBackend({ backend: of.name, threads: options.threads });
  const checkpoint = await openCheckpoint(fileDirectory(directory), { parts: 'all' });
  const lookUps = [await localLookup(kernels, checkpoint), await localLookup(processor, checkpoint)];
  for (const batch of options.batches ?? (options.quick ? [1, 4] : [1, 256, LARGE_BATCH])) {
    const [request] = requestsOf(randomQueries(checkpoint.geometry!, batch, 1), batch, 1);
    const sides = lookUps.map((lookUp) => ownSide(() => lookUp(request!)));
    const [own, theirs] = await context.interleave(sides);
    const peer = {
      name: `${processor.backend} kernels`,
      rounds: theirs!,
      goal: onGpu && batch === LARGE_BATCH ? LOOKUP_GOAL : null,
    };
    context.report(comparison({ ...subject, batch }, own!, peer));
  }
  if (onGpu)
    await measureGather(context, {
      kernels,
      checkpoint,
      subject: { ...subject, what: 'pooled gather', batch: LARGE_BATCH },
    });
  await checkpoint.close();
  await kernels.close();
}

async function localLookup(kernels: Kernels, checkpoint: Checkpoint): Promise<MemoryLookup> {
  return createLocalLookup({
    checkpoint,
    kernels,
    memoryLayers: await loadMemoryLayers(checkpoint, kernels),
  });
}

/** Pooling on a GPU against a copy of as many bytes within its memory, by PyTorch. */
async function measureGather(
  context: BenchContext,
  { kernels, checkpoint, subject }: { kernels: Kernels; checkpoint: Checkpoint; subject: Subject },
): Promise<void> {
  const { peer } = context.peer();
  const bandwidth = peer === null ? null : await deviceBandwidth(context);
  if (bandwidth === null)
    return context.report(missing({ ...subject, note: 'PyTorch sees no GPU' }, GATHER_GOAL));
  context.report(
    figure(
      { ...subject, what: 'device copy, bytes read and written', backend: 'PyTorch' },
      bandwidth,
      'GB/s',
    ),
  );
  const geometry = checkpoint.geometry!;
  const { requests } = drawEntries(
    geometry,
    LARGE_BATCH,
    'uniform',
    2 * LARGE_BATCH * winnersPerToken(geometry),
  );
  const source = checkpoint.tensor(valueTableName(geometry, 0));
  const columns = { start: 0, end: geometry.valueWidth };
  const table = await kernels.loadValues(source, { start: 0, end: geometry.tableRows }, columns);
  let turn = 0;
  const [own] = await context.interleave([
    ownSide(() => kernels.pool(table, requests[turn++ % requests.length]!)),
  ]);
  const bytes = LARGE_BATCH * winnersPerToken(geometry) * geometry.valueWidth * 2;
  const limit = {
    name: 'as many bytes at the rate of a copy',
    ms: bytes / bandwidth / 1e6,
    goal: GATHER_GOAL,
  };
  context.report(againstTime(subject, quantile(own!.flat(), 0.5), limit));
  table.release();
}

/** GB/s, or null without a GPU. */
async function deviceBandwidth(context: BenchContext): Promise<number | null> {
  const { peer } = context.peer();
  if (peer === null) return null;
  const { gpus = 0 } = await peer.prepare('dense', { weights: {} });
  if (gpus === 0) return null;
  const bytes = 1024 * MEGA;
  const [samples] = await context.interleave([peer.side('device_copy', { bytes })]);
  return (2 * bytes) / quantile(samples!.flat(), 0.5) / 1e6;
}
