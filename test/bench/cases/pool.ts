import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { type TensorSource, valueTableName } from '@ultramem/checkpoint';
import { createRandom, type Random } from '@ultramem/environment';
import { evenEntryStart } from '@ultramem/inference';
import { present } from '@ultramem/invariant';
import type { PoolRequest, ValueTable } from '@ultramem/kernels';
import { type MemoryGeometry, winnersPerToken } from '@ultramem/ultramem';
import type { BenchCase } from '../bench-case.ts';
import type { BenchContext } from '../bench-context.ts';
import { ownSide, type Side } from '../interleave.ts';
import { layerConfig, openLayer, randomNormals } from '../layer-model.ts';
import { ownProgram } from '../local-workers.ts';
import type { Dtype } from '../options.ts';
import { type PeerServer, readNumbers } from '../peer-server.ts';
import { alone, comparison, missing, type Subject } from '../row.ts';

const BAG_GOAL = 1.2;
const LIMIT_GOAL = 0.8;
const INT8_GOAL = 1.7;
const DTYPE_BYTES = { F32: 4, BF16: 2 };
/** Rows that all batches of a round read: far more than caches hold. */
const ROWS_READ = 160_000;

/** Gather, weigh, sum: Kernels.pool, against embedding_bag, the eager way, and the rate at which the machine reads random rows. */
export const pool: BenchCase = {
  name: 'pool',
  about: 'pooled gather, against embedding_bag, eager PyTorch and the machine',
  async run(context) {
    const { options } = context;
    for (const dtype of options.dtypes ?? (['F32', 'BF16'] as const)) await measureTable(context, dtype);
    await measureInt8(context);
  },
};

async function measureTable(context: BenchContext, dtype: Dtype): Promise<void> {
  const { options } = context;
  const kernels = await context.kernels();
  const directory = await context.model(layerConfig(options.shape), dtype);
  const layer = await openLayer(kernels, directory, { values: true });
  const table = present(layer.tables.layers[0]?.values, 'values were loaded');
  const source = layer.checkpoint.tensor(valueTableName(layer.geometry, 0));
  const { peer } = context.peer();
  if (peer !== null) await peer.prepare('layer', { directory, dtype, parts: ['values'] });
  for (const batch of options.batches ?? (options.quick ? [1, 4] : [1, 16, 256]))
    for (const traffic of ['uniform', 'Zipf'] as const)
      await measureBatch({ context, dtype, geometry: layer.geometry, table, source, batch, traffic });
  if (peer !== null) await peer.drop();
  await layer.close();
}

/** The same rows as int8, which `ultramem convert` makes of bf16 ones: fewer bytes a token. */
async function measureInt8(context: BenchContext): Promise<void> {
  const kernels = await context.kernels();
  const stored = await context.model(layerConfig(context.options.shape), 'BF16');
  const converted = join(await context.directory(), 'model-int8');
  const { command, args } = ownProgram();
  const flags = ['convert', '--model', stored, '--out', converted, '--values', 'int8'];
  const { status, stderr } = spawnSync(command, [...args, ...flags], { encoding: 'utf8' });
  for (const batch of context.options.batches ?? (context.options.quick ? [4] : [16, 256])) {
    const subject: Subject = {
      case: 'pool',
      what: 'pool, int8 rows',
      backend: kernels.backend,
      batch,
      dtype: 'INT8',
    };
    if (status !== 0) {
      context.report(
        missing({ ...subject, note: `no int8 table (${stderr.trim().split('\n').at(-1)})` }, INT8_GOAL),
      );
      continue;
    }
    const layers = [
      await openLayer(kernels, converted, { values: true }),
      await openLayer(kernels, stored, { values: true }),
    ];
    const { requests } = drawEntries(present(layers[0], 'opened').geometry, batch, 'uniform', ROWS_READ);
    let turn = 0;
    const sides = layers.map(({ tables }) => {
      const table = present(tables.layers[0]?.values, 'values were loaded');
      return ownSide(() => kernels.pool(table, present(requests[turn++ % requests.length], 'in range')));
    });
    const [own, bf16] = await context.interleave(sides);
    const peer = { name: 'our bf16 rows', rounds: present(bf16, 'two sides ran'), goal: INT8_GOAL };
    context.report(comparison(subject, present(own, 'two sides ran'), peer));
    for (const layer of layers) await layer.close();
  }
  await context.dropModel(converted);
}

interface Subjects {
  context: BenchContext;
  dtype: Dtype;
  geometry: MemoryGeometry;
  table: ValueTable;
  source: TensorSource;
  batch: number;
  traffic: 'uniform' | 'Zipf';
}

async function measureBatch(of: Subjects): Promise<void> {
  const { context, dtype, geometry, table, batch, traffic } = of;
  const kernels = await context.kernels();
  const { requests, slot, block, weight } = drawEntries(
    geometry,
    batch,
    traffic,
    context.options.quick ? 2_000 : ROWS_READ,
  );
  for (const request of requests) await kernels.pool(table, request); // the first touch of a mapped page is the system's business
  let turn = 0;
  const sides: Side[] = [ownSide(() => kernels.pool(table, requests[turn++ % requests.length]!))];
  const { peer } = context.peer();
  const shape = [requests.length, batch, winnersPerToken(geometry)];
  const slotFile = await context.file(slot);
  if (peer !== null) {
    const name = `${traffic}${batch}`;
    await peer.input(`${name}.slot`, { path: slotFile, dtype: 'I32', shape });
    await peer.input(`${name}.block`, { path: await context.file(block), dtype: 'U8', shape });
    const weightFile = await context.file(weight);
    await peer.input(`${name}.weight`, {
      path: weightFile,
      dtype: 'F32',
      shape: [...shape, geometry.coreCount],
    });
    const once = await kernels.pool(table, requests[0]!);
    await expectSamePool(context, peer, { name, dtype, ours: once });
    sides.push(peer.side('pool_bag', { name }), peer.side('pool_eager', { name }));
  }
  const place = of.source.file;
  const machine = traffic === 'uniform' && place !== null ? await context.machine() : null;
  if (machine !== null && place !== null) {
    await machine.table(
      { ...place, rowBytes: geometry.valueWidth * DTYPE_BYTES[dtype] },
      { path: slotFile, count: slot.length },
    );
    const count = batch * winnersPerToken(geometry);
    sides.push(machine.rows(count), await machine.copiedRows(count, geometry.tableRows));
  }
  const [own, ...theirs] = await context.interleave(sides);
  const subject: Subject = {
    case: 'pool',
    what: `pool, ${traffic} rows`,
    backend: kernels.backend,
    batch,
    dtype,
  };
  if (peer !== null) {
    context.report(
      comparison(subject, own!, { name: 'PyTorch, embedding_bag', rounds: theirs.shift()!, goal: BAG_GOAL }),
    );
    context.report(
      comparison(subject, own!, { name: 'PyTorch, eager', rounds: theirs.shift()!, goal: null }),
    );
  } else context.report(alone(subject, own!, BAG_GOAL));
  for (const name of machine === null
    ? []
    : ['the machine reads the mapped rows', 'the machine reads them in huge pages'])
    context.report(comparison(subject, own!, { name, rounds: theirs.shift()!, goal: LIMIT_GOAL }));
}

/** Batches of entries whose rows together exceed the caches by far; also one after the other, for peers. */
export function drawEntries(
  geometry: MemoryGeometry,
  batch: number,
  traffic: 'uniform' | 'Zipf',
  rowsRead: number,
) {
  const { tableRows, poolBlocks, coreCount } = geometry;
  const perCall = batch * winnersPerToken(geometry);
  const sets = Math.max(2, Math.ceil(rowsRead / perCall));
  const random = createRandom(batch);
  const slot = Uint32Array.from({ length: sets * perCall }, () => drawSlot(random, tableRows, traffic));
  const block = Uint8Array.from(slot, () => random.uint32() % poolBlocks);
  const weight = randomNormals(slot.length * coreCount, 3);
  const requests = Array.from({ length: sets }, (_, set): PoolRequest => {
    const [first, end] = [set * perCall, (set + 1) * perCall];
    return {
      ...{ tokenCount: batch, entryStart: evenEntryStart(batch, perCall / batch) },
      ...{ slot: slot.slice(first, end), block: block.slice(first, end), blockCount: poolBlocks },
      ...{ weight: weight.slice(first * coreCount, end * coreCount), coreCount, pre: null },
    };
  });
  return { requests, slot, block, weight };
}

/** Zipf's law with exponent 1, the frequent rows scattered over the table. */
function drawSlot(random: Random, rows: number, traffic: 'uniform' | 'Zipf'): number {
  if (traffic === 'uniform') return Math.floor(random.unit() * rows);
  const rank = Math.floor(rows ** random.unit()) - 1;
  return (rank * 1_000_003) % rows;
}

async function expectSamePool(
  context: BenchContext,
  peer: PeerServer,
  { name, dtype, ours }: { name: string; dtype: Dtype; ours: Float32Array },
): Promise<void> {
  const path = join(await context.directory(), 'pooled');
  await peer.write('pool_once', { name }, path);
  const theirs = await readNumbers(path);
  const largest = theirs.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  const error = ours.reduce((max, x, i) => Math.max(max, Math.abs(x - theirs[i]!)), 0) / largest;
  if (!(error < (dtype === 'F32' ? 1e-4 : 3e-2)))
    throw new Error(`pooled vectors differ by ${error} of the largest; the two compute different things`);
}
