import { assert, OperatingError } from '@ultramem/invariant';
import type { ModelConfig } from '@ultramem/ultramem';
import type { KvCache } from './kv-cache.ts';

/** New tokens of one sequence; the cache holds what came before. */
export interface SequenceStep {
  cache: KvCache;
  tokenIds: ArrayLike<number>;
}

/** The new tokens of all sequences one after the other, without padding. */
export interface Batch {
  rowCount: number;
  tokenIds: Uint32Array; // [rowCount]
  positions: Uint32Array; // [rowCount], inside the token's own sequence
  sequences: { cache: KvCache; firstRow: number; rowCount: number }[];
}

/**
 * @throws OperatingError TOKEN_OUT_OF_RANGE for an id without an embedding, CONTEXT_TOO_LONG when a sequence would outgrow
 * max_sequence_length.
 */
export function layOutBatch(config: ModelConfig, steps: readonly SequenceStep[]): Batch {
  assert(
    new Set(steps.map((step) => step.cache)).size === steps.length,
    'every sequence has a cache of its own',
  );
  const rowCount = steps.reduce((sum, step) => sum + step.tokenIds.length, 0);
  const batch: Batch = {
    rowCount,
    tokenIds: new Uint32Array(rowCount),
    positions: new Uint32Array(rowCount),
    sequences: [],
  };
  let row = 0;
  for (const [number, { cache, tokenIds }] of steps.entries()) {
    assert(tokenIds.length > 0, 'a sequence of a step has at least one new token');
    const length = cache.length + tokenIds.length;
    if (length > config.maxSequenceLength)
      throw new OperatingError(
        'CONTEXT_TOO_LONG',
        `sequence ${number} would have ${length} tokens; expected at most max_sequence_length, ${config.maxSequenceLength}; shorten the prompt or ask for fewer tokens`,
      );
    batch.sequences.push({ cache, firstRow: row, rowCount: tokenIds.length });
    for (let i = 0; i < tokenIds.length; i++, row++) {
      const id = tokenIds[i];
      checkTokenId(config, id, `token ${cache.length + i} of sequence ${number}`);
      batch.tokenIds[row] = id;
      batch.positions[row] = cache.length + i;
    }
  }
  return batch;
}

/** @throws OperatingError TOKEN_OUT_OF_RANGE unless the id has a row in the embedding table */
export function checkTokenId(config: ModelConfig, id: number, where: string): void {
  if (!Number.isInteger(id) || id < 0 || id >= config.embeddingSize)
    throw new OperatingError(
      'TOKEN_OUT_OF_RANGE',
      `${where} is ${id}; expected a whole number of 0 to ${config.embeddingSize - 1}; use the model's own tokenizer`,
    );
}
