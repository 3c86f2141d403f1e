import { openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import type { PooledEncoding } from '@ultramem/protocol';
import { layLink, type SlowLink } from '../../network/slow-link.ts';
import type { BenchCase } from '../bench-case.ts';
import type { BenchContext } from '../bench-context.ts';
import { ownSide } from '../interleave.ts';
import { layerConfig, randomQueries, setCount } from '../layer-model.ts';
import { type LocalWorkers, ownProgram, startLocalWorkers } from '../local-workers.ts';
import { comparison, figure, missing, type Subject } from '../row.ts';
import { relativeError } from '../statistics.ts';
import { requestsOf } from './select.ts';

const RATE = '1gbit';
const WORKERS = 2;

/** Lookups with workers behind a link of 1 Gbit/s: pooled vectors rounded beside the same as they are. */
export const links: BenchCase = {
  name: 'links',
  about: 'lookups over a link of 1 Gbit/s (needs root), pooled vectors rounded beside the same as they are',
  async run(context) {
    const { backend } = await context.kernels();
    const subject: Subject = {
      ...{ case: 'links', what: `whole lookup over ${RATE}`, backend, workers: WORKERS, dtype: 'F32' },
    };
    const link = layLink(RATE);
    if ('why' in link)
      return context.report(missing({ ...subject, note: `no link can be laid here: ${link.why}` }));
    try {
      await measure(context, subject, link);
    } finally {
      link.drop();
    }
  },
};

async function measure(context: BenchContext, subject: Subject, link: SlowLink): Promise<void> {
  const { options } = context;
  const directory = await context.model(layerConfig(options.shape), 'F32');
  const checkpoint = await openCheckpoint(fileDirectory(directory), { parts: 'all' });
  const clusters: { encoding: PooledEncoding; cluster: LocalWorkers }[] = [];
  try {
    for (const encoding of ['f32', 'bf16', 'int8'] as const) {
      const kernels = await context.kernels();
      const program = link.beyond(ownProgram());
      const slowLinks = { encoding, bytesPerSecond: Number.POSITIVE_INFINITY };
      const over = { host: link.host, program, slowLinks };
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
