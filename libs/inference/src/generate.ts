import { createRandom } from '@ultramem/environment';
import { OperatingError } from '@ultramem/invariant';
import { type ForwardResult, forward, type Model } from './forward.ts';
import { createKvCache, type KvCache } from './kv-cache.ts';
import type { LookupTiming } from './pending-lookups.ts';
import { type Sampling, sampleToken } from './sample.ts';

export interface GenerateOptions {
  /** Token ids of each sequence; at least one. Lengths may differ. */
  prompts: readonly (readonly number[])[];
  maxNewTokens: number;
  sampling: Sampling;
  /** Each sequence draws from its own stream, made of this and its number: its companions do not matter. */
  seed: number;
  /** End a sequence before its end-of-text token (eos_token_id), which is not given out. */
  stopAtEos: boolean;
  withMemory?: boolean;
}

export interface GeneratedToken {
  sequence: number;
  tokenId: number;
}

/** Why a sequence ended: end of text, the limit asked for, or a full context (max_sequence_length). */
export type FinishReason = 'stop' | 'length' | 'context';

export interface GenerateSummary {
  finishReasons: FinishReason[]; // [sequences]
  /** Summed over all passes. */
  timing: LookupTiming;
}

interface Running {
  sequence: number;
  cache: KvCache;
  /** Tokens the cache does not hold yet. */
  next: readonly number[];
}

/**
 * Continues a batch of prompts, giving out tokens as they come, in the order of the sequences at each step. Every pass takes
 * the unfinished sequences together; the first one takes the whole prompts.
 *
 * @throws OperatingError PROMPT_EMPTY, USAGE, and those of `forward`
 */
export async function* generate(
  model: Model,
  options: GenerateOptions,
): AsyncGenerator<GeneratedToken, GenerateSummary> {
  const { prompts, maxNewTokens } = options;
  const { embeddingSize, eosTokenId, maxSequenceLength } = model.dense.config;
  checkOptions(options);
  const randoms = sequenceRandoms(options.seed, prompts.length);
  const finishReasons: FinishReason[] = prompts.map(() => 'length');
  const timing: LookupTiming = { lookupMs: 0, blockedMs: 0 };
  let running: Running[] = prompts.map((prompt, sequence) => ({
    sequence,
    cache: createKvCache(model.dense.config),
    next: prompt,
  }));
  for (let step = 0; step < maxNewTokens && running.length > 0; step++) {
    const result = await nextLogits(model, running, options.withMemory ?? true);
    timing.lookupMs += result.timing.lookupMs;
    timing.blockedMs += result.timing.blockedMs;
    const going: Running[] = [];
    for (const [row, { sequence, cache }] of running.entries()) {
      const logitsRow = { first: row * embeddingSize, count: embeddingSize };
      const tokenId = sampleToken(result.logits, logitsRow, options.sampling, randoms[sequence]);
      if (options.stopAtEos && tokenId === eosTokenId) {
        finishReasons[sequence] = 'stop';
        continue;
      }
      if (cache.length < maxSequenceLength) going.push({ sequence, cache, next: [tokenId] });
      else if (step + 1 < maxNewTokens) finishReasons[sequence] = 'context';
      yield { sequence, tokenId };
    }
    running = going;
  }
  return { finishReasons, timing };
}

function nextLogits(model: Model, running: readonly Running[], withMemory: boolean): Promise<ForwardResult> {
  const sequences = running.map(({ cache, next }) => ({ cache, tokenIds: next }));
  return forward(model, { sequences, logits: 'last', withMemory });
}

/** One stream per sequence; that of sequence i depends on the seed and i alone. */
function sequenceRandoms(seed: number, count: number) {
  const root = createRandom(seed);
  return Array.from({ length: count }, () => createRandom(root.uint32()));
}

function checkOptions({ prompts, maxNewTokens, seed }: GenerateOptions): void {
  const empty = prompts.findIndex((prompt) => prompt.length === 0);
  if (empty >= 0)
    throw new OperatingError(
      'PROMPT_EMPTY',
      `prompt ${empty} has no tokens; expected at least one; write a prompt`,
    );
  if (!Number.isSafeInteger(maxNewTokens) || maxNewTokens < 1)
    throw new OperatingError(
      'USAGE',
      `max-tokens is ${maxNewTokens}; expected a whole number of at least 1; correct it`,
    );
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new OperatingError('USAGE', `seed is ${seed}; expected a whole number of at least 0; correct it`);
}
