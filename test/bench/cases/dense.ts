import type { TensorSource } from '@ultramem/checkpoint';
import { openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import type { Matrix } from '@ultramem/kernels';
import type { BenchCase } from '../bench-case.ts';
import type { BenchContext } from '../bench-context.ts';
import { ownSide } from '../interleave.ts';
import { randomNormals } from '../layer-model.ts';
import { type Arithmetic, arithmetics } from '../options.ts';
import { alone, comparison, type Subject } from '../row.ts';
import { billionConfig } from '../transformer-model.ts';

const PARTS = ['att_proj', 'attn_out', 'ff_proj', 'ff_out'];
const BLOCKS = 4;

/** Every linear layer of four transformer blocks, one after the other, so that no weight waits in a cache for its next turn. */
export const dense: BenchCase = {
  name: 'dense',
  about: 'the linear layers of transformer blocks, decoding and prefill, against PyTorch',
  async run(context) {
    for (const arithmetic of arithmetics(context.options)) await measure(context, arithmetic);
  },
};

async function measure(context: BenchContext, { dtype, activations, suffix }: Arithmetic): Promise<void> {
  const { options } = context;
  const kernels = await context.kernels(activations);
  const config = { ...billionConfig(options.quick), n_layers: BLOCKS, mem_insert_way: 'no_mem' };
  const directory = await context.model(config, dtype);
  const checkpoint = await openCheckpoint(fileDirectory(directory), { parts: 'all' });
  const sources = new Map<string, TensorSource>();
  for (let block = 0; block < BLOCKS; block++)
    for (const part of PARTS)
      sources.set(`${block}.${part}`, checkpoint.tensor(`transformer.blocks.${block}.${part}.weight`));
  const matrices: Matrix[] = [];
  for (const source of sources.values()) matrices.push(await kernels.loadMatrix(source));
  const { peer, ...rest } = context.peer();
  if (peer !== null) await peer.prepare('dense', { weights: weightsOf(sources), dtype });
  for (const batch of options.batches ?? (options.quick ? [1, 4] : [1, 16, 256])) {
    const inputs = new Map<number, Float32Array>();
    for (const { columns } of matrices)
      if (!inputs.has(columns)) inputs.set(columns, randomNormals(batch * columns, 5));
    const ours = ownSide(async () => {
      for (const matrix of matrices) await kernels.matmul(matrix, inputs.get(matrix.columns)!, batch, null);
    });
    const what = `linear layers of ${BLOCKS} blocks, ${batch === 1 ? 'decode' : batch < 64 ? 'decode, batched' : 'prefill'}${suffix}`;
    const subject: Subject = { case: 'dense', what, backend: kernels.backend, batch, dtype };
    const goal = batch === 1 ? 1 : 1.5;
    if (peer === null) {
      const [own] = await context.interleave([ours]);
      context.report(alone({ ...subject, note: 'why' in rest ? rest.why : null }, own!, goal));
      continue;
    }
    for (const [columns, x] of inputs)
      await peer.input(`x${columns}`, { path: await context.file(x), dtype: 'F32', shape: [batch, columns] });
    const layers = [...sources].map(([name, { shape }]) => [name, `x${shape[1]}`]);
    const [own, theirs] = await context.interleave([ours, peer.side('linears', { layers })]);
    context.report(
      comparison(subject, own!, { name: `PyTorch, ${dtype.toLowerCase()}`, rounds: theirs!, goal }),
    );
  }
  await peer?.drop();
  for (const matrix of matrices) matrix.release();
  await checkpoint.close();
}

function weightsOf(sources: ReadonlyMap<string, TensorSource>): Record<string, object> {
  const place = ({ file, dtype, shape }: TensorSource) => ({ ...file, dtype, shape });
  return Object.fromEntries([...sources].map(([name, source]) => [name, place(source)]));
}
