import { join } from 'node:path';
import { type LookupRequest, selectByKeys } from '@ultramem/inference';
import { present } from '@ultramem/invariant';
import type { Kernels } from '@ultramem/kernels';
import { winnersPerToken } from '@ultramem/ultramem';
import type { BenchCase } from '../bench-case.ts';
import type { BenchContext } from '../bench-context.ts';
import { ownSide } from '../interleave.ts';
import { layerConfig, type OpenLayer, openLayer, randomQueries, setCount } from '../layer-model.ts';
import { type PeerServer, readNumbers } from '../peer-server.ts';
import { alone, comparison, type Subject } from '../row.ts';

const GOAL = 10;
const DIFFERENT_TOKENS_MAX = 0.02; // f32 scores of two programs tie differently now and then

/** Queries to slots, blocks and scores: Kernels.select and the shuffle, against PyTorch tuned and as the reference writes it. */
export const select: BenchCase = {
  name: 'select',
  about: 'score and select, against PyTorch tuned and as the reference writes it',
  async run(context) {
    const { options } = context;
    const kernels = await context.kernels();
    const directory = await context.model(layerConfig({ ...options.shape, dim: 8 }), 'F32'); // values play no part
    const layer = await openLayer(kernels, directory, { values: false });
    const found = context.peer();
    if (found.peer !== null) await found.peer.prepare('layer', { directory, parts: ['keys'] });
    for (const batch of options.batches ?? (options.quick ? [1, 4] : [1, 16, 256, 2048]))
      await measure(context, kernels, layer, batch, found);
    if (found.peer !== null) await found.peer.drop();
    await layer.close();
  },
};

async function measure(
  context: BenchContext,
  kernels: Kernels,
  layer: OpenLayer,
  batch: number,
  { peer, why }: { peer: PeerServer | null; why?: string },
): Promise<void> {
  const sets = setCount(batch, context.options.quick);
  const queries = randomQueries(layer.geometry, batch, sets);
  const requests = requestsOf(queries, batch, sets);
  const keys = present(layer.tables.layers[0]?.keys, 'keys were loaded');
  const choose = (request: LookupRequest) => selectByKeys(kernels, layer.layer, keys, request);
  let turn = 0;
  const ours = ownSide(() => choose(requests[turn++ % sets]!));
  const subject: Subject = {
    case: 'select',
    what: 'score and select',
    backend: kernels.backend,
    batch,
    dtype: 'F32',
  };
  if (peer === null) {
    const [own] = await context.interleave([ours]);
    return context.report(alone({ ...subject, note: why ?? null }, own!, GOAL));
  }
  const shape = [sets, batch, 2, layer.geometry.keyWidth];
  await peer.input(`query${batch}`, { path: await context.file(queries), dtype: 'F32', shape });
  const { addresses } = await choose(requests[0]!);
  await expectSameSlots(context, peer, batch, addresses, winnersPerToken(layer.geometry));
  const names = ['select_tuned', 'select'];
  const sides = names.map((call) => peer.side(call, { batch }));
  const [own, tuned, plain] = await context.interleave([ours, ...sides]);
  context.report(comparison(subject, own!, { name: 'PyTorch, tuned', rounds: tuned!, goal: GOAL }));
  context.report(
    comparison(subject, own!, { name: 'PyTorch, as the reference', rounds: plain!, goal: null }),
  );
}

/** `sets` requests of `batch` tokens each. */
export function requestsOf(queries: Float32Array, batch: number, sets: number): LookupRequest[] {
  const length = queries.length / sets;
  return Array.from({ length: sets }, (_, set) => ({
    layer: 0,
    tokenCount: batch,
    query: queries.slice(set * length, (set + 1) * length),
    preQuery: null,
    explain: false,
  }));
}

/** Whoever computes something else may not be compared with. */
async function expectSameSlots(
  context: BenchContext,
  peer: PeerServer,
  batch: number,
  ours: { slot: Uint32Array; block: Uint8Array },
  perToken: number,
): Promise<void> {
  const path = join(await context.directory(), 'selected');
  await peer.write('select_once', { batch }, path);
  const theirs = await readNumbers(path);
  const count = batch * perToken;
  let different = 0;
  for (let token = 0; token < batch; token++) {
    const at = (entry: number) => token * perToken + entry;
    const entries = Array.from({ length: perToken }, (_, entry) => at(entry));
    const own = new Set(entries.map((i) => `${ours.block[i]}:${ours.slot[i]}`));
    if (entries.some((i) => !own.has(`${theirs[i]}:${theirs[count + i]}`))) different++;
  }
  if (different > Math.max(1, DIFFERENT_TOKENS_MAX * batch))
    throw new Error(
      `of ${batch} tokens ${different} have other slots than PyTorch finds; the two compute different things`,
    );
}
