import {
  type Checkpoint,
  memoryTensorName,
  openCheckpoint,
  readFloats,
  valueTableName,
} from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { groupOfHead } from '@ultramem/inference';
import { present } from '@ultramem/invariant';
import { type Kernels, loadMemoryTables, type SelectRequest } from '@ultramem/kernels';
import type { MemoryGeometry } from '@ultramem/ultramem';
import type { BenchCase } from '../bench-case.ts';
import type { BenchContext } from '../bench-context.ts';
import { capacityConfig, LARGEST_N } from '../capacity-model.ts';
import { ownSide, type Side } from '../interleave.ts';
import { randomQueries } from '../layer-model.ts';
import { againstTime, alone, comparison, missing, type Subject } from '../row.ts';
import { quantile } from '../statistics.ts';
import { drawEntries } from './pool.ts';

const GOAL = 1 / 1.3;
const BATCH = 16;

/** The same work on ever larger tables: pooling must not mind, scoring may grow with the root. */
export const growth: BenchCase = {
  name: 'growth',
  about: 'pooling and selection at 1 M, 20 M and 100 M slots (writes 17 GB)',
  async run(context) {
    const { quick } = context.options;
    const kernels = await context.kernels();
    const subject: Subject = {
      case: 'growth',
      what: 'pooling and selection',
      backend: kernels.backend,
      batch: BATCH,
      dtype: 'BF16',
    };
    if (kernels.backend === 'reference' && !quick)
      return context.report(
        missing({ ...subject, note: 'the reference kernels hold tables in memory' }, GOAL),
      );
    const models: Grown[] = [];
    try {
      for (const n of quick ? [64, 128] : [1_000, 4_472, LARGEST_N])
        models.push(await open(context, kernels, n));
      await measure(context, subject, models);
    } finally {
      for (const model of models) await model.close();
    }
  },
};

interface Grown {
  slots: number;
  pool: Side;
  select: Side;
  close(): Promise<void>;
}

async function measure(context: BenchContext, subject: Subject, models: readonly Grown[]): Promise<void> {
  const [smallest] = models;
  for (const what of ['pool', 'select'] as const) {
    const rounds = await context.interleave(models.map((model) => model[what]));
    const first = rounds[0]!;
    for (const [i, { slots }] of models.entries()) {
      const about = { ...subject, what: `${what}, ${slotsText(slots)} slots` };
      const name = `the same at ${slotsText(smallest!.slots)}`;
      if (i === 0) context.report(alone(about, first));
      else if (what === 'pool')
        context.report(comparison(about, rounds[i]!, { name, rounds: first, goal: GOAL }));
      else {
        const ms = quantile(first.flat(), 0.5) * Math.sqrt(slots / smallest!.slots);
        const peer = { name: `${name}, times the root of the growth`, ms, goal: GOAL };
        context.report(againstTime(about, quantile(rounds[i]!.flat(), 0.5), peer));
      }
    }
  }
}

async function open(context: BenchContext, kernels: Kernels, n: number): Promise<Grown> {
  const directory = await context.model(capacityConfig(n), 'BF16');
  const checkpoint = await openCheckpoint(fileDirectory(directory), { parts: 'memory' });
  const geometry = present(checkpoint.geometry, 'the model has a memory layer');
  const { tableRows, keyCount, valueWidth } = geometry;
  const source = checkpoint.tensor(valueTableName(geometry, 0));
  const values = await kernels.loadValues(
    source,
    { start: 0, end: tableRows },
    { start: 0, end: valueWidth },
  );
  const tables = await loadMemoryTables(checkpoint, kernels, {
    keys: { start: 0, end: keyCount },
    values: null,
  });
  const { keys, collapse } = present(tables.layers[0], 'there is one layer');
  const { requests } = drawEntries(geometry, BATCH, 'uniform', context.options.quick ? 2_000 : 500_000);
  const request: SelectRequest = {
    ...{ query: randomQueries(geometry, BATCH, 1), tokenCount: BATCH, groupCount: geometry.queryGroupUsed },
    ...{ groupOfHead: groupOfHead(geometry), collapse, k: geometry.topK },
    ...{ cores: await readCores(checkpoint, geometry), coreCount: geometry.coreCount },
    addressing: { geometry, layer: 0, shuffle: null },
  };
  for (const warm of requests) await kernels.pool(values, warm); // the first touch of a mapped page is the disk's business
  let turn = 0;
  return {
    slots: tableRows,
    pool: ownSide(() => kernels.pool(values, requests[turn++ % requests.length]!)),
    select: ownSide(() => kernels.select(present(keys, 'keys were loaded'), request)),
    async close() {
      values.release();
      tables.release();
      await checkpoint.close();
      if (n !== LARGEST_N || !context.options.names.includes('start')) await context.dropModel(directory);
    },
  };
}

async function readCores(
  checkpoint: Checkpoint,
  { coreCount, headCount, rank }: MemoryGeometry,
): Promise<Float32Array> {
  const cores = new Float32Array(coreCount * headCount * rank * rank);
  for (let core = 0; core < coreCount; core++)
    cores.set(
      await readFloats(checkpoint.tensor(memoryTensorName(0, `tucker_core.${core}`))),
      core * headCount * rank * rank,
    );
  return cores;
}

function slotsText(slots: number): string {
  return slots < 500_000 ? `${slots}` : `${Math.round(slots / 1e6)} M`;
}
