import { forward, type Model } from './forward.ts';
import { generate } from './generate.ts';
import { createKvCache } from './kv-cache.ts';
import { parseSampling } from './sample.ts';
import type { VectorFile } from './vector-file.ts';
import { maxAbsDifference } from './verify-layers.ts';

/** How a whole model compares with its reference. */
export interface ModelCheck {
  name: string;
  ok: boolean;
  /** Largest difference of a logit. */
  maxAbsError: number;
  /** Largest difference of a hidden state; null where none are recorded. */
  maxHiddenError: number | null;
  /** The greedy continuation has the same tokens; null where none is recorded. */
  generatedEqual: boolean | null;
}

/** SEMANTICS section 16. */
const LOGIT_TOLERANCE = 1e-4;
const HIDDEN_TOLERANCE = 1e-4;

/**
 * Runs the recorded batch of `io.safetensors` (SEMANTICS 15.4) through the model and compares logits, hidden states and
 * the greedy continuation, as far as they are recorded.
 */
export async function verifyModel(model: Model, io: VectorFile, name: string): Promise<ModelCheck> {
  const prompts = rows(io, 'input_ids');
  const sequences = prompts.map((tokenIds) => ({ cache: createKvCache(model.dense.config), tokenIds }));
  const hiddenRecorded = io.has('hidden.0');
  const { logits, hidden } = await forward(model, {
    sequences,
    logits: 'all',
    captureHidden: hiddenRecorded,
  });
  const maxAbsError = maxAbsDifference(logits, io.floats('logits'));
  const hiddenErrors = hidden.map((found, i) => maxAbsDifference(found, io.floats(`hidden.${i}`)));
  const maxHiddenError = hiddenRecorded ? Math.max(...hiddenErrors) : null;
  const generatedEqual = io.has('generated')
    ? await continuesAlike(model, prompts, rows(io, 'generated'))
    : null;
  const ok =
    maxAbsError <= LOGIT_TOLERANCE && (maxHiddenError ?? 0) <= HIDDEN_TOLERANCE && (generatedEqual ?? true);
  return { name, ok, maxAbsError, maxHiddenError, generatedEqual };
}

/** Whether greedy generation of all prompts together gives the expected tokens. */
async function continuesAlike(
  model: Model,
  prompts: readonly number[][],
  expected: readonly number[][],
): Promise<boolean> {
  const generated: number[][] = prompts.map(() => []);
  const maxNewTokens = expected[0].length;
  const options = { prompts, maxNewTokens, sampling: parseSampling({}), seed: 0, stopAtEos: false };
  for await (const { sequence, tokenId } of generate(model, options)) generated[sequence].push(tokenId);
  return generated.every((tokens, sequence) => tokens.join() === expected[sequence].join());
}

function rows(io: VectorFile, tensor: string): number[][] {
  const [rowCount, width] = io.shape(tensor) as [number, number];
  const ids = io.integers(tensor);
  return Array.from({ length: rowCount }, (_, row) => [...ids.subarray(row * width, (row + 1) * width)]);
}
