import { readFileSync } from 'node:fs';
import type { BenchCase } from '../bench-case.ts';
import { withLayerCluster } from '../layer-cluster.ts';
import { randomQueries } from '../layer-model.ts';
import { figure, missing, type Subject } from '../row.ts';
import { requestsOf } from './select.ts';

const MEGA = 1e6;

/** What a worker process keeps in memory beside its slice. Mapped pages are the file's: other processes share them, and the system may take them back. */
export const memory: BenchCase = {
  name: 'memory',
  about: 'memory of a worker process beside its slice',
  async run(context) {
    const { options } = context;
    const kernels = await context.kernels();
    const subject: Subject = {
      case: 'memory',
      what: 'worker',
      backend: kernels.backend,
      workers: options.workers,
      dtype: 'F32',
    };
    if (process.platform !== 'linux')
      return context.report(missing({ ...subject, note: 'only Linux says how much a process holds' }));
    await withLayerCluster(context, 'auto', async ({ coordinator, workers, geometry }) => {
      for (const request of requestsOf(randomQueries(geometry, 64, 32), 64, 32))
        await coordinator.lookUp(request);
      const held = workers.map(({ pid }) => memoryOf(pid));
      const mean = (of: 'rss' | 'anonymous') =>
        held.reduce((sum, one) => sum + one[of], 0) / held.length / MEGA;
      const sliceBytes = (geometry.tableRows * geometry.valueWidth * 4) / options.workers;
      context.report(figure({ ...subject, what: "a worker's slice of values" }, sliceBytes / MEGA, 'MB'));
      context.report(
        figure(
          { ...subject, what: 'resident, mapped pages included, after 2,048 tokens' },
          mean('rss'),
          'MB',
        ),
      );
      context.report(figure({ ...subject, what: 'its own pages, nothing mapped' }, mean('anonymous'), 'MB'));
    });
  },
};

function memoryOf(pid: number): { rss: number; anonymous: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const bytes = (name: string): number =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.NaN);
  return { rss: bytes('Rss'), anonymous: bytes('Anonymous') };
}
