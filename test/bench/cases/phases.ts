import { present } from '@ultramem/invariant';
import type { BenchCase } from '../bench-case.ts';
import { type BenchContext, WARM_UP_SECONDS } from '../bench-context.ts';
import { type LayerCluster, withLayerCluster } from '../layer-cluster.ts';
import { randomQueries } from '../layer-model.ts';
import { figure } from '../row.ts';
import { quantile } from '../statistics.ts';
import { requestsOf } from './select.ts';

const SETS = 8;

/** Where the time of one lookup goes: medians of its phases, for the profile in docs/performance.md. */
export const phases: BenchCase = {
  name: 'phases',
  about: 'where the time of one lookup through local workers goes',
  async run(context) {
    const { batches, quick } = context.options;
    for (const partition of ['columns', 'slots'])
      await withLayerCluster(context, partition, async (cluster) => {
        for (const batch of batches ?? (quick ? [4] : [1, 16, 256])) {
          const queries = randomQueries(cluster.geometry, batch, SETS);
          await profile(context, cluster, partition, requestsOf(queries, batch, SETS));
        }
      });
  },
};

async function profile(
  context: BenchContext,
  { coordinator, workers }: LayerCluster,
  partition: string,
  requests: ReturnType<typeof requestsOf>,
): Promise<void> {
  const times = new Map<string, number[]>();
  const add = (name: string, ms: number): unknown => times.set(name, [...(times.get(name) ?? []), ms]);
  const batch = present(requests[0], 'there are requests').tokenCount;
  const { quick } = context.options;
  const calls = quick ? 20 : batch >= 64 ? 120 : 600;
  const lookUp = (i: number) =>
    coordinator.lookUp(present(requests[i % SETS], 'i modulo SETS is below SETS'));
  const warmMs = performance.now() + (quick ? 0 : WARM_UP_SECONDS * 1e3);
  for (let i = 0; performance.now() < warmMs; i++) await lookUp(i);
  for (let i = 0; i < calls; i++) {
    const startMs = performance.now();
    const { traffic } = await lookUp(i);
    add('whole', performance.now() - startMs);
    for (const { name, ms } of traffic.phases) add(name, ms);
  }
  const { backend } = await context.kernels();
  for (const [name, ms] of times)
    if (ms.length > calls / 8)
      context.report(
        figure(
          {
            ...{ case: 'phases', what: `${partition}, ${name}`, backend, workers: workers.length },
            ...{ batch, dtype: 'F32' },
          },
          quantile(ms, 0.5),
          'ms',
        ),
      );
}
