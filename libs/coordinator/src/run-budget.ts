import { codedError } from '@ultramem/protocol';
import type { ModelConfig } from '@ultramem/ultramem';

/** Generations, evaluations and explanations under way at once. */
const RUNS_MAX = 64;
/** Key/value caches of all runs together. */
const CACHE_BYTES_MAX = 4 * 2 ** 30;

/** Admits a run when the caches that it may need still fit beside those of the others. */
export interface RunBudget {
  /**
   * @param sequenceTokens length that each sequence of the run may reach
   * @throws OperatingError OVERLOADED, and what `work` throws
   */
  run<T>(sequenceTokens: readonly number[], work: () => Promise<T>): Promise<T>;
}

export function createRunBudget(
  config: Pick<ModelConfig, 'nLayers' | 'nKvHeads' | 'nHeads' | 'dModel' | 'maxSequenceLength'>,
  limits: { runsMax: number; cacheBytesMax: number } = { runsMax: RUNS_MAX, cacheBytesMax: CACHE_BYTES_MAX },
): RunBudget {
  const { runsMax, cacheBytesMax } = limits;
  const keysAndValues = 2 * config.nKvHeads * (config.dModel / config.nHeads);
  // Caches grow by doubling, so up to twice what is used is held.
  const tokenBytes = 2 * config.nLayers * keysAndValues * 4;
  let runs = 0;
  let heldBytes = 0;
  const run = async <T>(sequenceTokens: readonly number[], work: () => Promise<T>): Promise<T> => {
    let bytes = 0;
    for (const tokens of sequenceTokens) bytes += tokenBytes * Math.min(tokens, config.maxSequenceLength);
    if (runs >= runsMax)
      throw codedError(
        'OVERLOADED',
        `${runs} generations are under way; expected at most ${runsMax}; ask again in a moment, or give one request several prompts`,
      );
    if (heldBytes + bytes > cacheBytesMax)
      throw codedError(
        'OVERLOADED',
        `the request may need ${bytes} bytes of key/value cache beside ${heldBytes} in use; expected at most ${cacheBytesMax} in all; ask again in a moment, or for fewer or shorter sequences`,
      );
    runs++;
    heldBytes += bytes;
    try {
      return await work();
    } finally {
      runs--;
      heldBytes -= bytes;
    }
  };
  return { run };
}
