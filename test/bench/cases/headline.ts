import { join } from 'node:path';
import { openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import {
  beginLookup,
  createLocalLookup,
  finishLookup,
  loadMemoryLayers,
  type MemoryLayer,
  type MemoryLookup,
} from '@ultramem/inference';
import type { FeedForward, Kernels } from '@ultramem/kernels';
import type { BenchCase } from '../bench-case.ts';
import type { BenchContext } from '../bench-context.ts';
import { ownSide } from '../interleave.ts';
import { randomNormals } from '../layer-model.ts';
import { type Arithmetic, arithmetics, type Dtype } from '../options.ts';
import { type PeerServer, readNumbers } from '../peer-server.ts';
import { againstTime, alone, comparison, type Subject } from '../row.ts';
import { quantile, relativeError } from '../statistics.ts';

const GOALS = { moe: 10, limit: 4, dense: 1, own: 1 / 1.3 };
const MEGA = 2 ** 20;

/** A stack of feed-forward layers, one token a sequence: UltraMem against a mixture of experts of equal parameters and compute. */
export const headline: BenchCase = {
  name: 'headline',
  about:
    'a feed-forward stack with UltraMem layers, against a mixture of experts of equal parameters and compute',
  async run(context) {
    for (const arithmetic of arithmetics(context.options)) await measureStack(context, arithmetic);
  },
};

function stackShape(quick: boolean) {
  const [layers, width, hidden, experts] = quick ? [4, 64, 32, 6] : [8, 512, 704, 34];
  const units = 2;
  // The tables hold what the experts have beyond the dense stack.
  const extra = layers * (experts - 2) * 3 * width * hidden;
  const n = Math.floor(Math.sqrt(extra / units / (width / 2)));
  const every = layers / units;
  const places = Array.from({ length: units }, (_, unit) => (unit + 1) * every - 1);
  const config = {
    ...{
      d_model: width,
      n_heads: width / 64,
      n_layers: layers,
      mlp_hidden_size: 4 * hidden,
      activation_type: 'swiglu',
      rope: true,
    },
    ...{ layer_norm_type: 'rms', include_bias: false, weight_tying: true, max_sequence_length: 64 },
    ...{ vocab_size: 256, embedding_size: 256, eos_token_id: 0, pad_token_id: 1, mem_type: 'ultramem_v1' },
    ...{ mem_insert_way: places.map((place) => `${place}:${place}`).join('/'), mem_knum: n, mem_head: 2 },
    ...{ mem_kdim: quick ? 16 : 128, mem_vdim: width / 2, mem_knn: quick ? 8 : 42 },
  };
  return { config, layers, width, experts, places };
}

async function measureStack(context: BenchContext, arithmetic: Arithmetic): Promise<void> {
  const { dtype, activations } = arithmetic;
  const { options } = context;
  const { config, layers, width, experts, places } = stackShape(options.quick);
  const kernels = await context.kernels(activations);
  const directory = await context.model(config, dtype);
  const checkpoint = await openCheckpoint(fileDirectory(directory), { parts: 'all' });
  const linear = async (block: number, part: string) => ({
    weight: await kernels.loadMatrix(checkpoint.tensor(`transformer.blocks.${block}.${part}.weight`)),
    bias: null,
  });
  const blocks: Stack['blocks'] = [];
  for (let block = 0; block < layers; block++)
    blocks.push({
      inner: await linear(block, 'ff_proj'),
      activation: 'swiglu',
      outer: await linear(block, 'ff_out'),
    });
  const memoryLayers = await loadMemoryLayers(checkpoint, kernels);
  const lookUp = await createLocalLookup({ checkpoint, kernels, memoryLayers });
  const stack: Stack = {
    kernels,
    blocks,
    width,
    places,
    memoryLayers,
    lookUp,
  };
  const { peer } = context.peer();
  const info = peer === null ? {} : await peer.prepare('stack', { directory, experts, dtype });
  for (const batch of options.batches ?? (options.quick ? [4] : [64]))
    await measureBatch(context, stack, { batch, dtype, what: `UltraMem stack${arithmetic.suffix}`, info });
  await peer?.drop();
  await checkpoint.close();
}

interface Stack {
  kernels: Kernels;
  blocks: FeedForward[];
  width: number;
  /** The block after which each memory layer is added. */
  places: number[];
  memoryLayers: readonly MemoryLayer[];
  lookUp: MemoryLookup;
}

async function measureBatch(
  context: BenchContext,
  stack: Stack,
  { batch, dtype, what, info }: { batch: number; dtype: Dtype; what: string; info: Record<string, number> },
): Promise<void> {
  const x = randomNormals(batch * stack.width, 9);
  const subject: Subject = { case: 'headline', what, backend: stack.kernels.backend, batch, dtype };
  const own = ['ultramem', 'dense'].map((kind) => ownSide(() => run(stack, x, kind === 'ultramem')));
  const { peer, ...rest } = context.peer();
  if (peer === null) {
    const [ultramem, dense] = await context.interleave(own);
    context.report(alone({ ...subject, note: 'why' in rest ? rest.why : null }, ultramem!, GOALS.moe));
    context.report(
      comparison(subject, ultramem!, {
        name: 'our dense stack',
        rounds: dense!,
        goal: GOALS.own,
      }),
    );
    return;
  }
  await peer.input(`x${batch}`, { path: await context.file(x), dtype: 'F32', shape: [batch, stack.width] });
  await expectSameStack(context, peer, { batch, dtype, ours: await run(stack, x, true) });
  const kinds = ['moe', 'ultramem', 'dense'];
  const machine = await context.machine();
  const streamed = (context.options.quick ? 16 : 512) * MEGA;
  const sides = [
    ...own,
    ...kinds.map((kind) => peer.side('stack', { kind, batch })),
    ...(machine === null ? [] : [machine.stream(streamed)]),
  ];
  const [ultramem, dense, moe, theirUltramem, theirDense, stream] = await context.interleave(sides);
  const against = (name: string, rounds: typeof moe, goal: number | null) =>
    context.report(comparison(subject, ultramem!, { name, rounds: rounds!, goal }));
  against("PyTorch's mixture of experts", moe, GOALS.moe);
  against("PyTorch's dense stack", theirDense, GOALS.dense);
  against("PyTorch's UltraMem stack", theirUltramem, null);
  against('our dense stack', dense, GOALS.own);
  if (stream === undefined) return;
  const [touched = 0] = await touchedExperts(context, peer, batch);
  const bytes = touched * info.expertBytes!;
  const limit = {
    name: `any mixture of experts: ${(bytes / 1e6).toFixed(0)} MB of experts read`,
    goal: GOALS.limit,
  };
  const bytesPerMs = streamed / quantile(stream.flat(), 0.5);
  context.report(
    againstTime(subject, quantile(ultramem!.flat(), 0.5), {
      ...limit,
      ms: bytes / bytesPerMs,
    }),
  );
}

/** x plus each MLP of it in turn, and plus each memory layer's output where one is placed. `[batch, width]` */
async function run(stack: Stack, input: Float32Array, withMemory: boolean): Promise<Float32Array> {
  const { kernels, places, memoryLayers, lookUp } = stack;
  const x = input.slice();
  const rows = x.length / stack.width;
  for (const [block, feedForward] of stack.blocks.entries()) {
    await kernels.addInto(x, await kernels.feedForward(feedForward, x, rows));
    const layer = memoryLayers[places.indexOf(block)];
    if (!withMemory || layer === undefined) continue;
    const h = x.slice();
    const answer = await beginLookup(kernels, layer, lookUp, h);
    await kernels.addInto(x, await finishLookup(kernels, layer, h, answer));
  }
  return x;
}

async function touchedExperts(context: BenchContext, peer: PeerServer, batch: number): Promise<Float64Array> {
  const path = join(await context.directory(), 'touched');
  await peer.write('touched', { batch }, path);
  return readNumbers(path);
}

async function expectSameStack(
  context: BenchContext,
  peer: PeerServer,
  { batch, dtype, ours }: { batch: number; dtype: Dtype; ours: Float32Array },
): Promise<void> {
  const path = join(await context.directory(), 'stack');
  await peer.write('stack', { kind: 'ultramem', batch }, path);
  const theirs = await readNumbers(path);
  const relative = relativeError(ours, theirs);
  context.progress(`stacks differ by ${relative.toExponential(1)}`);
  // In bf16, rounded inputs choose some other slots.
  if (!(relative < (dtype === 'F32' ? 1e-2 : 0.3)))
    throw new Error(`the stacks differ by ${relative}; the two compute different things`);
}
