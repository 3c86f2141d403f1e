import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import type { Program } from '@ultramem/local-cluster';
import type { BenchCase } from '../bench-case.ts';
import type { BenchContext } from '../bench-context.ts';
import { ownSide } from '../interleave.ts';
import { layerConfig, randomQueries } from '../layer-model.ts';
import { type LocalWorkers, ownProgram, startLocalWorkers } from '../local-workers.ts';
import { comparison, missing, type Subject } from '../row.ts';
import { requestsOf } from './select.ts';

/** Of the table that fits the confined worker's memory. */
const SHARE = 0.25;
const PROCESS_BYTES = 192 * 2 ** 20;
const TOKENS = 4096;
const LOCAL_HOST = '127.0.0.1';

/** Lookups of a worker that may hold a quarter of its table in memory beside one that has room for all of it. */
export const outgrown: BenchCase = {
  name: 'outgrown',
  about: 'lookups in a table four times as large as the memory (needs root), beside one that fits',
  async run(context) {
    const { backend } = await context.kernels();
    const subject: Subject = {
      ...{
        case: 'outgrown',
        what: 'whole lookup, a quarter fits the memory',
        backend,
        workers: 1,
        dtype: 'F32',
      },
    };
    const directory = await context.model(layerConfig(context.options.shape), 'F32');
    const copy = join(await context.directory(), 'outgrown');
    await cp(directory, copy, { recursive: true }); // pages of one file would be shared
    const group = confine(directory, context.options.shape.n ** 2 * context.options.shape.dim * 4);
    if ('why' in group)
      return context.report(missing({ ...subject, note: `no memory can be confined here: ${group.why}` }));
    try {
      await measure(context, subject, { directory, copy, group });
    } finally {
      group.drop();
    }
  },
};

interface Group {
  program: Program;
  drop(): void;
}

async function measure(
  context: BenchContext,
  subject: Subject,
  { directory, copy, group }: { directory: string; copy: string; group: Group },
): Promise<void> {
  const { options } = context;
  const kernels = await context.kernels();
  const clusters: LocalWorkers[] = [];
  const checkpoints = [];
  try {
    for (const [model, program] of [
      [directory, group.program],
      [copy, ownProgram()],
    ] as const) {
      const checkpoint = await openCheckpoint(fileDirectory(model), { parts: 'all' });
      checkpoints.push(checkpoint);
      const over = { host: LOCAL_HOST, program, memoryBytes: Number.MAX_SAFE_INTEGER };
      const shared = { kernels, checkpoint, model, count: 1, backend: kernels.backend };
      clusters.push(await startLocalWorkers({ ...shared, over }));
    }
    for (const batch of options.batches ?? (options.quick ? [4] : [1, 16])) {
      const sets = options.quick ? 2 : Math.ceil(TOKENS / batch); // together they read as many rows as the table has
      const requests = requestsOf(randomQueries(checkpoints[0]!.geometry!, batch, sets), batch, sets);
      const sides = clusters.map(({ coordinator }) => {
        let turn = 0;
        return ownSide(() => coordinator.lookUp(requests[turn++ % sets]!));
      });
      const [confined, free] = await context.interleave(sides);
      context.report(
        comparison({ ...subject, batch }, confined!, {
          name: 'all of it fits',
          rounds: free!,
          goal: null,
        }),
      );
    }
  } finally {
    for (const cluster of clusters) await cluster.stop();
    for (const checkpoint of checkpoints) await checkpoint.close();
  }
}

/** A control group whose processes have room for a quarter of the table, none of which is in memory yet; or why there is none. */
function confine(directory: string, tableBytes: number): Group | { why: string } {
  const roots = [
    { root: '/sys/fs/cgroup/memory', limit: 'memory.limit_in_bytes' },
    { root: '/sys/fs/cgroup', limit: 'memory.max' },
  ];
  const { root, limit } = roots.find((candidate) => existsSync(candidate.root)) ?? roots[1]!;
  const path = join(root, `ultramem-bench-${process.pid}`);
  try {
    mkdirSync(path);
    writeFileSync(join(path, limit), `${Math.round(SHARE * tableBytes + PROCESS_BYTES)}`);
  } catch (error) {
    return { why: error instanceof Error ? error.message : String(error) };
  }
  // Pages that are in memory already count for whoever read them first.
  spawnSync('sync');
  spawnSync('dd', [`if=${join(directory, 'model.safetensors')}`, 'iflag=nocache', 'count=0']);
  const { command, args } = ownProgram();
  const enter = `echo $$ > ${join(path, 'cgroup.procs')} && exec "$@"`;
  return {
    program: { command: 'sh', args: ['-c', enter, 'sh', command, ...args] },
    drop: () => rmdirSync(path),
  };
}
