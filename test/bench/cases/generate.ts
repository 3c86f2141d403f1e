import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { systemClock } from '@ultramem/environment-system';
import {
  createKvCache,
  createLocalLookup,
  forward,
  generate,
  loadDense,
  loadMemoryLayers,
  type Model,
} from '@ultramem/inference';
import { assert } from '@ultramem/invariant';
import type { ActivationDType } from '@ultramem/kernels';
import type { BenchCase } from '../bench-case.ts';
import type { BenchContext } from '../bench-context.ts';
import { ownSide, perUnit } from '../interleave.ts';
import { arithmetics, type Dtype } from '../options.ts';
import { type PeerServer, readNumbers } from '../peer-server.ts';
import { alone, comparison, type Subject } from '../row.ts';
import { quantile } from '../statistics.ts';
import { billionConfig } from '../transformer-model.ts';

const DEMO = fileURLToPath(new URL('../../../apps/cli/demo-model', import.meta.url));
const PROMPT = Array.from('hear me speak.', (letter) => letter.charCodeAt(0));

/** Tokens of a whole model in one process, prompt included: the demo model, and one of 1 B parameters. */
export const generation: BenchCase = {
  name: 'generate',
  about: 'tokens of the demo model and of a 1 B-parameter model, against the same model on PyTorch',
  async run(context) {
    const { options } = context;
    const batches = options.batches ?? (options.quick ? [1] : [1, 16]);
    await measureModel(context, {
      what: 'demo model',
      directory: DEMO,
      dtype: 'F32',
      activations: 'F32',
      batches,
      tokens: options.quick ? 4 : 64,
    });
    const directory = await context.model(billionConfig(options.quick), 'BF16');
    for (const { dtype, activations, suffix } of arithmetics({ dtypes: ['BF16'] }))
      await measureModel(context, {
        what: `1 B parameters${suffix}`,
        directory,
        dtype,
        activations,
        batches,
        tokens: options.quick ? 4 : 16,
      });
    await context.dropModel(directory);
  },
};

interface Measured {
  what: string;
  directory: string;
  /** In which the weights are stored. */
  dtype: Dtype;
  activations: ActivationDType;
  batches: readonly number[];
  tokens: number;
}

async function measureModel(context: BenchContext, of: Measured): Promise<void> {
  const kernels = await context.kernels(of.activations);
  const checkpoint = await openCheckpoint(fileDirectory(of.directory), { parts: 'all' });
  const memoryLayers = await loadMemoryLayers(checkpoint, kernels);
  const lookUp = await createLocalLookup({ checkpoint, kernels, memoryLayers });
  const model: Model = {
    dense: await loadDense(checkpoint, kernels),
    memoryLayers,
    lookUp,
    kernels,
    clock: systemClock,
  };
  const { peer, ...rest } = context.peer();
  if (peer !== null) {
    await peer.prepare('transformer', { directory: of.directory, dtype: 'F32' });
    await expectSameLogits(context, model, peer, of.activations);
    if (of.dtype !== 'F32') await peer.prepare('transformer', { directory: of.directory, dtype: of.dtype });
  }
  for (const batch of of.batches) {
    const ours = perUnit(
      ownSide(() => drain(model, batch, of.tokens)),
      of.tokens,
    );
    const subject: Subject = {
      case: 'generate',
      what: `a token, ${of.what}`,
      backend: kernels.backend,
      batch,
      dtype: of.dtype,
    };
    const goal = batch === 1 ? 1 : 1.5;
    if (peer === null) {
      const [own] = await context.interleave([ours], 1);
      context.report(alone({ ...subject, note: 'why' in rest ? rest.why : null }, own!, goal));
      continue;
    }
    const ids = Array.from({ length: batch }, () => PROMPT);
    const [own, theirs] = await context.interleave(
      [ours, peer.side('generate', { ids, tokens: of.tokens })],
      1,
    );
    context.report(
      comparison(subject, own!, { name: `PyTorch, ${of.dtype.toLowerCase()}`, rounds: theirs!, goal }),
    );
  }
  await peer?.drop();
  await checkpoint.close();
}

async function drain(model: Model, batch: number, tokens: number): Promise<void> {
  const options = {
    maxNewTokens: tokens,
    sampling: { temperature: 0, topK: 0, topP: 1 },
    seed: 0,
    stopAtEos: false,
  };
  let count = 0;
  for await (const _ of generate(model, { ...options, prompts: Array.from({ length: batch }, () => PROMPT) }))
    count++;
  assert(count === batch * tokens, 'every sequence got all its tokens');
}

/** The peer computes in f32. Whoever computes something else may not be compared with. */
async function expectSameLogits(
  context: BenchContext,
  model: Model,
  peer: PeerServer,
  activations: ActivationDType,
): Promise<void> {
  const path = join(await context.directory(), 'logits');
  await peer.write('logits', { ids: [PROMPT] }, path);
  const theirs = await readNumbers(path);
  const sequences = [{ cache: createKvCache(model.dense.config), tokenIds: PROMPT }];
  const { logits } = await forward(model, { sequences, logits: 'all' });
  const largest = theirs.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  const errors = Array.from(logits, (x, i) => Math.abs(x - theirs[i]!) / largest);
  // Rounded activations choose some other slots.
  const [share, errorMax] = activations === 'F32' ? [1, 5e-3] : [0.5, 0.15];
  const error = quantile(errors, share);
  context.progress(`${100 * share} % of logits differ by at most ${error.toExponential(1)} of the largest`);
  if (!(error < errorMax))
    throw new Error(`logits differ by ${error} of the largest; the two compute different things`);
}
