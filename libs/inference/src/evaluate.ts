import { OperatingError } from '@ultramem/invariant';
import { checkTokenId } from './batch.ts';
import { forward, type Model } from './forward.ts';
import { createKvCache } from './kv-cache.ts';
import type { LookupTiming } from './pending-lookups.ts';

export interface EvaluateOptions {
  tokenIds: ArrayLike<number>; // at least two
  /** Inputs of a window. */
  contextLength: number;
  withMemory?: boolean;
  /** After each pass: targets scored so far, and how many there are. */
  onProgress?: (scoredTokens: number, targetCount: number) => void;
}

export interface Evaluation {
  /** Cross-entropy of all targets in nats. */
  lossSum: number;
  /** Targets scored. */
  tokenCount: number;
  timing: LookupTiming;
}

/** Windows that one pass takes together: enough rows for the matrices, few enough to report progress. */
export const WINDOWS_PER_PASS = 4;

/**
 * Next-token loss of a text. Consecutive windows, each starting afresh: window w has the inputs `ids[w c .. w c + c - 1]` and the
 * targets `ids[w c + 1 .. w c + c]` with c = contextLength. Only whole windows count, as in the figures published for the
 * demo model; a text that fills none is one short window. `tokenCount` says how many targets that makes.
 *
 * @throws OperatingError TEXT_TOO_SHORT, USAGE, and those of `forward`
 */
export async function evaluate(model: Model, options: EvaluateOptions): Promise<Evaluation> {
  const { tokenIds, contextLength } = options;
  if (tokenIds.length < 2)
    throw new OperatingError(
      'TEXT_TOO_SHORT',
      `the text has ${tokenIds.length} tokens; expected at least 2, one to predict the next; take a longer text`,
    );
  if (!Number.isSafeInteger(contextLength) || contextLength < 1)
    throw new OperatingError(
      'USAGE',
      `context is ${contextLength}; expected a whole number of at least 1; correct it`,
    );
  const windowTargets = Math.min(contextLength, tokenIds.length - 1);
  const targetCount = Math.floor((tokenIds.length - 1) / windowTargets) * windowTargets;
  const ids = Array.from(tokenIds);
  checkTokenId(model.dense.config, ids[targetCount], `token ${targetCount}`); // a target only, which no pass reads
  const evaluation: Evaluation = { lossSum: 0, tokenCount: 0, timing: { lookupMs: 0, blockedMs: 0 } };
  for (let start = 0; start < targetCount; start += WINDOWS_PER_PASS * contextLength) {
    const end = Math.min(targetCount, start + WINDOWS_PER_PASS * contextLength);
    const sequences = [];
    for (let first = start; first < end; first += contextLength)
      sequences.push({
        cache: createKvCache(model.dense.config),
        tokenIds: ids.slice(first, Math.min(end, first + contextLength)),
      });
    const { logits, timing } = await forward(model, {
      sequences,
      logits: 'all',
      withMemory: options.withMemory ?? true,
    });
    const width = model.dense.config.embeddingSize;
    for (let i = 0; i < end - start; i++)
      evaluation.lossSum += crossEntropy(logits, i * width, width, ids[start + i + 1]);
    evaluation.tokenCount += end - start;
    evaluation.timing.lookupMs += timing.lookupMs;
    evaluation.timing.blockedMs += timing.blockedMs;
    options.onProgress?.(end, targetCount);
  }
  return evaluation;
}

/** -log softmax(logits[first .. first + count - 1])[target], in nats. */
export function crossEntropy(logits: Float32Array, first: number, count: number, target: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) largest = Math.max(largest, logits[first + i]);
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Math.exp(logits[first + i] - largest);
  return Math.log(sum) + largest - logits[first + target];
}
