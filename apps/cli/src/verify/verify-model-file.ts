import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { systemClock } from '@ultramem/environment-system';
import {
  createLocalLookup,
  generate,
  type Model,
  parseSampling,
  readVectorFile,
  verifyModel,
} from '@ultramem/inference';
import { OperatingError } from '@ultramem/invariant';
import { createReferenceKernels } from '@ultramem/kernels';
import { openModel } from '../open-model.ts';
import { compareLookups } from './compare-lookups.ts';
import { type ClusterShape, withCluster } from './temporary-cluster.ts';
import type { VerifyCase } from './verify-case.ts';
import { parseJson } from './verify-vectors.ts';

/** A whole model against recorded numbers; with workers every lookup is moreover held against one process. */
export async function verifyModelFile(
  modelPath: string,
  ioPath: string,
  shape: ClusterShape,
): Promise<VerifyCase[]> {
  const bytes = await readFile(ioPath).catch((error: NodeJS.ErrnoException) => {
    throw new OperatingError(
      'VECTORS_INVALID',
      `${ioPath} cannot be read (${error.code}); expected recorded inputs and logits; pass the io.safetensors of a model as --against`,
    );
  });
  const io = readVectorFile(bytes, basename(ioPath));
  const continuations = await recordedContinuations(join(dirname(ioPath), 'io.json'));
  const { model, checkpoint, tokenizer } = await openModel(modelPath, { backend: shape.backends[0] });
  const name = basename(modelPath);
  try {
    if (shape.workers === 0) return await verifyAll(model, io, continuations, name);
    return await withCluster(
      shape,
      { path: modelPath, checkpoint, kernels: model.kernels, tokenizer },
      async (coordinator) => {
        // Whatever computes in the cluster is held against plain TypeScript.
        const oracle = createReferenceKernels(systemClock.breathe);
        const { memoryLayers } = model;
        const local = await createLocalLookup({ checkpoint, kernels: oracle, memoryLayers });
        const { lookUp, comparison } = compareLookups(coordinator.lookUp, local);
        const cases = await verifyAll({ ...model, lookUp }, io, continuations, name);
        return cases.map((one) => ({
          ...one,
          ok: one.ok && comparison.indicesEqual,
          indicesEqual: one.indicesEqual && comparison.indicesEqual,
          bitIdentical: comparison.bitIdentical,
          maxRelativeError: comparison.maxRelativeError,
        }));
      },
    );
  } finally {
    await checkpoint.close();
    await model.kernels.close();
  }
}

interface Continuation {
  prompt_ids: number[];
  greedy_ids: number[];
}

async function verifyAll(
  model: Model,
  io: ReturnType<typeof readVectorFile>,
  continuations: readonly Continuation[],
  name: string,
): Promise<VerifyCase[]> {
  const { ok, maxAbsError, maxHiddenError, generatedEqual } = await verifyModel(model, io, name);
  const cases: VerifyCase[] = [
    { name, ok, indicesEqual: generatedEqual ?? true, maxAbsError, maxHiddenError },
  ];
  for (const [i, { prompt_ids: prompt, greedy_ids: expected }] of continuations.entries()) {
    const tokens: number[] = [];
    const options = {
      prompts: [prompt],
      maxNewTokens: expected.length,
      sampling: parseSampling({}),
      seed: 0,
      stopAtEos: false,
    };
    for await (const { tokenId } of generate(model, options)) tokens.push(tokenId);
    const same = tokens.join() === expected.join();
    cases.push({
      name: `${name}/greedy${i}`,
      ok: same,
      indicesEqual: same,
      maxAbsError: same ? 0 : Number.NaN,
    });
  }
  return cases;
}

/** The greedy continuations that the demo model's io.json records beside its logits; none elsewhere. */
async function recordedContinuations(path: string): Promise<Continuation[]> {
  const text = await readFile(path, 'utf8').catch(() => null);
  const json = text === null ? null : (parseJson(path, text) as { greedy?: Continuation[] } | null);
  return json?.greedy ?? [];
}
