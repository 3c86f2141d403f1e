import { readFloats, valueTableName } from '@ultramem/checkpoint';
import { groupOfHead } from '@ultramem/inference';
import { assert, present } from '@ultramem/invariant';
import {
  createReferenceKernels,
  type Kernels,
  type PoolRequest,
  ReferenceKeys,
  type ScoreRequest,
} from '@ultramem/kernels';
import { probeTensorflow } from '@ultramem/kernels-tensorflow';
import {
  type Binding,
  loadBinding,
  type TensorId,
  type Tensors,
  TYPE,
  typeOf,
  withTensors,
} from '@ultramem/kernels-tensorflow/operations';
import { type Candidates, type CollapseVectors, SIDES } from '@ultramem/ultramem';
import type { BenchCase } from '../bench-case.ts';
import type { BenchContext } from '../bench-context.ts';
import { ownSide, type Side } from '../interleave.ts';
import { layerConfig, openLayer, randomQueries, setCount } from '../layer-model.ts';
import type { BenchOptions } from '../options.ts';
import { comparison, missing, type Subject } from '../row.ts';
import type { Rounds } from '../statistics.ts';
import { drawEntries } from './pool.ts';

const GATHER = 'gather and weigh';
const SCORE = 'score and top-k';
/** Rows that all batches of a round read: far more than caches hold. */
const ROWS_READ = 160_000;
/** Of the largest element: ours are summed in f64, theirs in f32. */
const ERROR_MAX = 1e-4;
/** Two f32 sums of one score tie differently now and then. */
const DIFFERENT_LISTS_MAX = 0.02;

/** Kernels.pool and Kernels.scoreKeys against the plain operations of TensorFlow that do the same work, in this process. */
export const tensorflow: BenchCase = {
  name: 'tensorflow',
  about: "pooling and scoring keys, against TensorFlow's own gather, matmul and top-k",
  async run(context) {
    const { options } = context;
    const kernels = await context.kernels();
    const probe = await probeTensorflow();
    const subject = { case: 'tensorflow', backend: kernels.backend, dtype: 'F32' };
    if (!probe.available || !options.peers) {
      const note = probe.available ? 'peers were left out (--no-peers)' : `${probe.why}; ${probe.remedy}`;
      for (const what of [GATHER, SCORE]) context.report(missing({ ...subject, what, note }));
      return;
    }
    const binding = loadBinding(null);
    const directory = await context.model(layerConfig(options.shape), 'F32');
    const measured = { context, kernels, binding, directory };
    await measurePooling({ ...measured, subject: { ...subject, what: GATHER, note: probe.detail } });
    await measureScores({ ...measured, subject: { ...subject, what: SCORE, note: probe.detail } });
  },
};

interface Measured {
  context: BenchContext;
  kernels: Kernels;
  binding: Binding;
  directory: string;
  subject: Subject;
}

function batchesOf({ batches, quick }: BenchOptions): number[] {
  return batches ?? (quick ? [1, 4] : [1, 16, 256]);
}

async function measurePooling({ context, kernels, binding, directory, subject }: Measured): Promise<void> {
  const layer = await openLayer(kernels, directory, { values: true });
  const own = present(layer.tables.layers[0]?.values, 'values were loaded');
  const { tableRows, valueWidth } = layer.geometry;
  const stored = await readFloats(layer.checkpoint.tensor(valueTableName(layer.geometry, 0)));
  const table = withTensors(binding, (tensors) => tensors.keep(tensors.f32([tableRows, valueWidth], stored)));
  const geometry = { ...layer.geometry, coreCount: 1 }; // one weight an entry, which is what TensorFlow multiplies with
  for (const batch of batchesOf(context.options)) {
    const { requests } = drawEntries(geometry, batch, 'uniform', context.options.quick ? 2_000 : ROWS_READ);
    const inputs = requests.map(gatherInput);
    const pool = (i: number) => kernels.pool(own, requests[i]!);
    const ways = [poolBySegments, poolByProduct].map(
      (way) => (i: number) => withTensors(binding, (tensors) => way(tensors, table, inputs[i]!)),
    );
    for (const i of requests.keys()) {
      const pooled = await pool(i); // every batch, which also touches every page that is mapped
      for (const way of ways) expectSamePooled(pooled, way(i));
    }
    const sides = [pool, ...ways].map((side) => inTurn(requests.length, side));
    const [ours, segments, product] = await interleaveWithoutLeak(context, binding, sides);
    for (const [name, rounds] of [
      ['TensorFlow, gather and segment sum', segments!],
      ['TensorFlow, gather and matmul', product!],
    ] as const)
      context.report(comparison({ ...subject, batch }, ours!, { name, rounds, goal: null }));
  }
  binding.deleteTensor(table);
  await layer.close();
}

/** A side that takes `count` inputs one after the other. */
function inTurn(count: number, run: (i: number) => unknown): Side {
  let turn = 0;
  return ownSide(async () => run(turn++ % count));
}

/** A peer whose memory grows from call to call would be measured in its decline. */
async function interleaveWithoutLeak(
  context: BenchContext,
  binding: Binding,
  sides: readonly Side[],
): Promise<Rounds[]> {
  const before = binding.getNumOfTensors();
  const rounds = await context.interleave(sides);
  const left = binding.getNumOfTensors() - before;
  if (left !== 0) throw new Error(`the calls left ${left} tensors in TensorFlow; expected none`);
  return rounds;
}

/** A request as TensorFlow takes it, made beforehand: it brings the numbers in the order that suits it best. */
interface GatherInput {
  batch: number;
  blockCount: number;
  perToken: number;
  row: Int32Array; // [tokens, perToken]
  /** Zero for other blocks. */
  spread: Float32Array; // [tokens, blocks, perToken]
  /** The same entries in the order of their sums. */
  sorted: { row: Int32Array; weight: Float32Array; segment: Int32Array };
}

function gatherInput({ tokenCount, slot, block, blockCount, weight }: PoolRequest): GatherInput {
  const perToken = slot.length / tokenCount;
  const segment = Int32Array.from(block, (b, entry) => Math.floor(entry / perToken) * blockCount + b);
  const spread = new Float32Array(tokenCount * blockCount * perToken);
  for (const [entry, w] of weight.entries()) spread[segment[entry]! * perToken + (entry % perToken)] = w;
  const order = Uint32Array.from(slot.keys()).sort((a, b) => segment[a]! - segment[b]!);
  return {
    ...{ batch: tokenCount, blockCount, perToken, row: Int32Array.from(slot), spread },
    sorted: {
      row: Int32Array.from(order, (entry) => slot[entry]!),
      weight: Float32Array.from(order, (entry) => weight[entry]!),
      segment: Int32Array.from(order, (entry) => segment[entry]!),
    },
  };
}

/** `[tokens * blocks, width]`, without the last sums where they have no entries. */
function poolBySegments(tensors: Tensors, table: TensorId, { sorted }: GatherInput): Float32Array {
  const count = sorted.row.length;
  const rows = tensors.gather(table, TYPE.F32, tensors.i32([count], sorted.row), TYPE.I32, 0);
  const weighed = tensors.run('Mul', [typeOf('T', TYPE.F32)], [rows, tensors.f32([count, 1], sorted.weight)]);
  const sums = tensors.run(
    'SegmentSum',
    [typeOf('T', TYPE.F32), typeOf('Tindices', TYPE.I32)],
    [weighed, tensors.i32([count], sorted.segment)],
  );
  return tensors.readF32(sums);
}

/** `[tokens, blocks, width]`: weighing and summing as one product a token, which multiplies by many zeros and is still faster. */
function poolByProduct(
  tensors: Tensors,
  table: TensorId,
  { batch, blockCount, perToken, row, spread }: GatherInput,
): Float32Array {
  const rows = tensors.gather(table, TYPE.F32, tensors.i32([batch, perToken], row), TYPE.I32, 0);
  const weights = tensors.f32([batch, blockCount, perToken], spread);
  return tensors.readF32(tensors.matmul(TYPE.F32, weights, rows, false));
}

function expectSamePooled(ours: Float32Array, theirs: Float32Array): void {
  const largest = ours.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  const error = ours.reduce((max, x, i) => Math.max(max, Math.abs(x - (theirs[i] ?? 0))), 0) / largest;
  if (!(error < ERROR_MAX))
    throw new Error(`pooled vectors differ by ${error} of the largest; the two compute different things`);
}

async function measureScores({ context, kernels, binding, directory, subject }: Measured): Promise<void> {
  const layer = await openLayer(kernels, directory, { values: false });
  const { geometry } = layer;
  const { keys, collapse } = present(layer.tables.layers[0], 'there is a memory layer');
  const own = present(keys, 'keys were loaded');
  const folded = await foldedKeys(directory, collapse);
  const lists = geometry.headCount * SIDES;
  const table = withTensors(binding, (tensors) =>
    tensors.keep(tensors.f32([lists, geometry.keyCount, geometry.keyWidth], folded)),
  );
  for (const batch of batchesOf(context.options)) {
    const sets = setCount(batch, context.options.quick);
    const queries = randomQueries(geometry, batch, sets);
    const length = queries.length / sets;
    const requests = Array.from(
      { length: sets },
      (_, set): ScoreRequest => ({
        ...{ query: queries.slice(set * length, (set + 1) * length), tokenCount: batch, groupCount: 1 },
        ...{ groupOfHead: groupOfHead(geometry), collapse, k: geometry.topK },
      }),
    );
    const inputs = requests.map(({ query }) => queriesOfLists(query, batch, geometry.headCount));
    const score = (i: number) => kernels.scoreKeys(own, requests[i]!);
    const scorePlain = (i: number) =>
      withTensors(binding, (tensors) => {
        const query = tensors.f32([lists, batch, geometry.keyWidth], inputs[i]!);
        const scores = tensors.matmul(TYPE.F32, query, table, true);
        const [best, places] = tensors.topK(scores, TYPE.F32, geometry.topK);
        return { score: tensors.readF32(best), key: tensors.readI32(places) };
      });
    let different = 0;
    for (let set = 0; set < sets; set++)
      different += differentLists(await score(set), scorePlain(set).key, lists);
    expectSameKeys(different, sets * batch * lists);
    const sides = [score, scorePlain].map((side) => inTurn(sets, side));
    const [ours, theirs] = await interleaveWithoutLeak(context, binding, sides);
    const peer = { name: 'TensorFlow, matmul and top-k', rounds: theirs!, goal: null };
    context.report(comparison({ ...subject, batch }, ours!, peer));
  }
  binding.deleteTensor(table);
  await layer.close();
}

/** Keys times the collapse vectors, `[heads, 2, keys, width]`: their product with a query is the score that ranks them. */
async function foldedKeys(directory: string, { row, column }: CollapseVectors): Promise<Float32Array> {
  const layer = await openLayer(createReferenceKernels(), directory, { values: false });
  const keys = layer.tables.layers[0]?.keys;
  assert(keys instanceof ReferenceKeys, 'plain kernels keep plain keys');
  const { headCount, width, rank, elements } = keys;
  const folded = new Float32Array(elements.length / rank);
  const perList = folded.length / (headCount * SIDES);
  for (let i = 0; i < folded.length; i++) {
    const list = Math.floor(i / perList);
    const vector = list % SIDES === 0 ? row : column;
    const first = Math.floor(i / width) * rank * width + (i % width);
    let sum = 0;
    for (let r = 0; r < rank; r++)
      sum += vector[Math.floor(list / SIDES) * rank + r]! * elements[first + r * width]!;
    folded[i] = sum;
  }
  await layer.close();
  return folded;
}

/** `[tokens, 2, width]` to `[heads, 2, tokens, width]`: all heads take the same query. */
function queriesOfLists(query: Float32Array, batch: number, headCount: number): Float32Array {
  const width = query.length / batch / SIDES;
  const result = new Float32Array(headCount * query.length);
  for (let list = 0; list < headCount * SIDES; list++)
    for (let token = 0; token < batch; token++) {
      const from = (token * SIDES + (list % SIDES)) * width;
      result.set(query.subarray(from, from + width), (list * batch + token) * width);
    }
  return result;
}

/**
 * How many lists hold other keys, in whatever order.
 *
 * @param theirs `[lists, tokens, perSide]`
 */
function differentLists(
  { tokenCount, perSide, index }: Candidates,
  theirs: Int32Array,
  lists: number,
): number {
  let different = 0;
  for (let list = 0; list < lists; list++)
    for (let token = 0; token < tokenCount; token++) {
      const [at, from] = [(token * lists + list) * perSide, (list * tokenCount + token) * perSide];
      const own = new Set(index.subarray(at, at + perSide));
      if (theirs.subarray(from, from + perSide).some((key) => !own.has(key))) different++;
    }
  return different;
}

function expectSameKeys(different: number, count: number): void {
  if (different > Math.max(1, DIFFERENT_LISTS_MAX * count))
    throw new Error(
      `of ${count} lists ${different} have other keys than TensorFlow finds; the two compute different things`,
    );
}
