import { spawnSync } from 'node:child_process';
import { openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import type { PooledEncoding } from '@ultramem/protocol';
import type { BenchCase } from '../bench-case.ts';
import type { BenchContext } from '../bench-context.ts';
import { ownSide } from '../interleave.ts';
import { layerConfig, randomQueries, setCount } from '../layer-model.ts';
import { type LocalWorkers, ownProgram, startLocalWorkers } from '../local-workers.ts';
import { comparison, figure, missing, type Subject } from '../row.ts';
import { requestsOf } from './select.ts';

const RATE = '1gbit';
const WORKERS = 2;
const HOST = '10.213.77.1';
const FAR_HOST = '10.213.77.2';

/** Lookups with workers behind a link of 1 Gbit/s: pooled vectors rounded beside the same as they are. */
export const links: BenchCase = {
  name: 'links',
  about: 'lookups over a link of 1 Gbit/s (needs root), pooled vectors rounded beside the same as they are',
  async run(context) {
    const { backend } = await context.kernels();
    const subject: Subject = {
      ...{ case: 'links', what: `whole lookup over ${RATE}`, backend, workers: WORKERS, dtype: 'F32' },
    };
    const space = `ultramem-bench-${process.pid}`;
    try {
      const why = layLink(space);
      if (why !== null)
        return context.report(missing({ ...subject, note: `no link can be laid here: ${why}` }));
      await measure(context, subject, space);
    } finally {
      run('ip', 'netns', 'del', space); // the pair of devices goes with it
    }
  },
};

async function measure(context: BenchContext, subject: Subject, space: string): Promise<void> {
  const { options } = context;
  const directory = await context.model(layerConfig(options.shape), 'F32');
  const checkpoint = await openCheckpoint(fileDirectory(directory), { parts: 'all' });
  const clusters: { encoding: PooledEncoding; cluster: LocalWorkers }[] = [];
  try {
    for (const encoding of ['f32', 'bf16', 'int8'] as const) {
      const kernels = await context.kernels();
      const { command, args } = ownProgram();
      const program = { command: 'ip', args: ['netns', 'exec', space, command, ...args] };
      const slowLinks = { encoding, bytesPerSecond: Number.POSITIVE_INFINITY };
      const over = { host: HOST, program, slowLinks };
      const shared = { kernels, checkpoint, model: directory, count: WORKERS, backend: kernels.backend };
      const cluster = await startLocalWorkers({ ...shared, partition: 'columns', over });
      clusters.push({ encoding, cluster });
    }
    for (const batch of options.batches ?? (options.quick ? [4] : [1, 16, 256])) {
      const sets = setCount(batch, options.quick);
      const requests = requestsOf(randomQueries(checkpoint.geometry!, batch, sets), batch, sets);
      let turn = 0;
      const rounds = await context.interleave(
        clusters.map(({ cluster }) => ownSide(() => cluster.coordinator.lookUp(requests[turn++ % sets]!))),
      );
      const answers = [];
      for (const { cluster } of clusters) answers.push(await cluster.coordinator.lookUp(requests[0]!));
      for (const [i, { encoding }] of clusters.entries()) {
        if (i === 0) continue;
        const of = { ...subject, what: `${subject.what}, vectors as ${encoding}`, batch };
        context.report(comparison(of, rounds[i]!, { name: 'as f32', rounds: rounds[0]!, goal: null }));
        const error = relativeError(answers[i]!.pooled, answers[0]!.pooled);
        context.report(
          figure({ ...of, what: `error of vectors as ${encoding}` }, 100 * error, '% of length'),
        );
      }
    }
  } finally {
    for (const { cluster } of clusters) await cluster.stop();
    await checkpoint.close();
  }
}

/** Two devices with a rate in both directions, one of them in a network of its own. Null, or why not. */
function layLink(space: string): string | null {
  const [near, far] = [`umb${process.pid}a`.slice(-15), `umb${process.pid}b`.slice(-15)];
  const inside = ['ip', 'netns', 'exec', space];
  const shaped = (device: string) => [
    'tc',
    'qdisc',
    'add',
    'dev',
    device,
    'root',
    'tbf',
    'rate',
    RATE,
    'burst',
    '64kb',
    'latency',
    '100ms',
  ];
  const steps = [
    ['ip', 'netns', 'add', space],
    ['ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', space],
    ['ip', 'addr', 'add', `${HOST}/30`, 'dev', near],
    ['ip', 'link', 'set', near, 'up'],
    [...inside, 'ip', 'addr', 'add', `${FAR_HOST}/30`, 'dev', far],
    [...inside, 'ip', 'link', 'set', far, 'up'],
    shaped(near),
    [...inside, ...shaped(far)],
  ];
  for (const [command, ...args] of steps) {
    const why = run(command!, ...args);
    if (why !== null) return why;
  }
  return null;
}

/** Null, or the last line of what went wrong. */
function run(command: string, ...args: string[]): string | null {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return null;
  return error?.message ?? (stderr.trim().split('\n').at(-1) || `${command} ended with ${status}`);
}

function relativeError(found: Float32Array, want: Float32Array): number {
  let error = 0;
  let size = 0;
  for (const [i, x] of found.entries()) {
    error += (x - want[i]!) ** 2;
    size += want[i]! ** 2;
  }
  return Math.sqrt(error / size);
}
