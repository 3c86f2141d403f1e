import { join } from 'node:path';
import type { BenchCase } from '../bench-case.ts';
import type { BenchContext } from '../bench-context.ts';
import { ownSide } from '../interleave.ts';
import { type LayerCluster, withLayerCluster } from '../layer-cluster.ts';
import { randomQueries, setCount } from '../layer-model.ts';
import { readNumbers } from '../peer-server.ts';
import { againstTime, alone, comparison, type Subject } from '../row.ts';
import { quantile, relativeError } from '../statistics.ts';
import { requestsOf } from './select.ts';

const GLOO_GOAL = 10;
const TAIL_FACTOR = 3;
const TAIL_SECONDS = 5;

/** A whole lookup through worker processes on loopback, against PyTorch in one process, and PyTorch over gloo in as many processes. */
export const lookup: BenchCase = {
  name: 'lookup',
  about: 'whole lookup through local worker processes, against PyTorch alone and over gloo',
  async run(context) {
    await withLayerCluster(context, 'auto', async (cluster) => {
      for (const workload of ['layer', 'gloo'] as const) await measureAgainst(context, cluster, workload);
    });
  },
};

async function measureAgainst(
  context: BenchContext,
  cluster: LayerCluster,
  workload: 'layer' | 'gloo',
): Promise<void> {
  const { options } = context;
  const { peer, ...rest } = context.peer();
  if (peer === null && workload === 'gloo') return;
  const batches = options.batches ?? (options.quick ? [1, 4] : [1, 16, 256]);
  const { directory, geometry } = cluster;
  const queries = new Map(
    batches.map((batch) => [batch, randomQueries(geometry, batch, setCount(batch, options.quick))]),
  );
  if (peer !== null) {
    for (const [batch, numbers] of queries) {
      const shape = [setCount(batch, options.quick), batch, 2, geometry.keyWidth];
      await peer.input(`query${batch}`, { path: await context.file(numbers), dtype: 'F32', shape });
    }
    await peer.prepare(
      workload,
      workload === 'gloo' ? { directory, workers: options.workers } : { directory, eager: false },
    );
  }
  for (const [batch, numbers] of queries) {
    const sets = setCount(batch, options.quick);
    const requests = requestsOf(numbers, batch, sets);
    let turn = 0;
    const ours = ownSide(() => cluster.coordinator.lookUp(requests[turn++ % sets]!));
    const subject: Subject = {
      ...{ case: 'lookup', what: 'whole lookup', backend: (await context.kernels()).backend },
      ...{ workers: options.workers, batch, dtype: 'F32' },
    };
    const goal = workload === 'gloo' ? GLOO_GOAL : batch === 1 ? 1 : 4;
    if (peer === null) {
      const [own] = await context.interleave([ours]);
      context.report(alone({ ...subject, note: 'why' in rest ? rest.why : null }, own!, goal));
      continue;
    }
    if (workload === 'layer') await expectSameAnswer(context, cluster, requests[0]!, batch);
    const [own, theirs] = await context.interleave([ours, peer.side('lookup_tuned', { batch })]);
    const name =
      workload === 'gloo' ? `PyTorch over gloo, ${options.workers} processes` : 'PyTorch, tuned, one process';
    context.report(comparison(subject, own!, { name, rounds: theirs!, goal }));
    if (workload === 'layer') {
      // Without a break: rounds begin with caches that the peer has filled.
      const samples = await ours.time(options.quick ? 0 : TAIL_SECONDS, 1);
      const limit = {
        name: `${TAIL_FACTOR} x its median`,
        ms: TAIL_FACTOR * quantile(samples, 0.5),
        goal: 1,
      };
      context.report(
        againstTime({ ...subject, what: 'whole lookup, 99th percentile' }, quantile(samples, 0.99), limit),
      );
    }
  }
  await peer?.drop();
}

async function expectSameAnswer(
  context: BenchContext,
  cluster: LayerCluster,
  request: Parameters<LayerCluster['coordinator']['lookUp']>[0],
  batch: number,
): Promise<void> {
  const { peer } = context.peer();
  const path = join(await context.directory(), 'looked-up');
  await peer?.write('lookup_once', { batch }, path);
  const theirs = await readNumbers(path);
  const { pooled } = await cluster.coordinator.lookUp(request);
  // Near-ties fall differently now and then, and exchange one slot of many.
  const relative = relativeError(pooled, theirs);
  if (!(relative < 0.02))
    throw new Error(`pooled vectors differ by ${relative} of their length; the two compute different things`);
}
