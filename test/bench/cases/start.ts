import { openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { present } from '@ultramem/invariant';
import type { BenchCase } from '../bench-case.ts';
import { capacityConfig, LARGEST_N } from '../capacity-model.ts';
import { randomQueries } from '../layer-model.ts';
import { startLocalWorkers } from '../local-workers.ts';
import { againstTime, figure, missing, type Subject } from '../row.ts';
import { quantile } from '../statistics.ts';
import { requestsOf } from './select.ts';

const DEMAND_MS = 2_000;

/** From the start of a worker process until it answers for a table of more than 10 GB. */
export const start: BenchCase = {
  name: 'start',
  about: 'from the start of a worker process until it answers for a 12.8 GB table (writes 14 GB)',
  async run(context) {
    const { options } = context;
    const kernels = await context.kernels();
    const subject: Subject = {
      case: 'start',
      what: 'worker ready',
      backend: kernels.backend,
      workers: 1,
      dtype: 'BF16',
    };
    if (kernels.backend === 'reference' && !options.quick)
      return context.report(
        missing({ ...subject, note: 'the reference kernels read tables instead of mapping them' }, 1),
      );
    const directory = await context.model(capacityConfig(options.quick ? 128 : LARGEST_N), 'BF16');
    const checkpoint = await openCheckpoint(fileDirectory(directory), { parts: 'all' });
    const geometry = present(checkpoint.geometry, 'the model has a memory layer');
    const [request] = requestsOf(randomQueries(geometry, 1, 1), 1, 1);
    const samples = { coordinator: [] as number[], ready: [] as number[], answer: [] as number[] };
    for (let run = 0; run < (options.quick ? 1 : 3); run++) {
      const startMs = performance.now();
      const shared = { kernels, checkpoint, model: directory, count: 1, backend: kernels.backend };
      const cluster = await startLocalWorkers(shared);
      const upMs = performance.now();
      samples.coordinator.push(upMs - startMs - cluster.readyMs);
      samples.ready.push(cluster.readyMs);
      await cluster.coordinator.lookUp(present(request, 'there is a request'));
      samples.answer.push(performance.now() - upMs);
      await cluster.stop();
    }
    const peer = { name: 'what is demanded', ms: DEMAND_MS, goal: 1 };
    context.report(againstTime(subject, quantile(samples.ready, 0.5), peer));
    const alone = (what: string, ms: readonly number[]) =>
      context.report(figure({ ...subject, what }, quantile(ms, 0.5), 'ms'));
    alone('first lookup after it', samples.answer);
    alone('coordinator, before workers can dial it', samples.coordinator);
    await checkpoint.close();
    await context.dropModel(directory);
  },
};
