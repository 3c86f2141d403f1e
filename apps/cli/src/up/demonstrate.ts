import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from '@ultramem/client';
import { startProgress } from '@ultramem/command-line';
import { evaluate, generate, parseSampling } from '@ultramem/inference';
import { OperatingError } from '@ultramem/invariant';
import type { Arithmetic } from '../arithmetic-options.ts';
import { type OpenModel, openModel } from '../open-model.ts';
import { startLiveView } from './live-view.ts';

/** What a model directory may hold beside the model: recorded greedy continuations, and text to measure the loss on. */
interface Recorded {
  greedy: { prompt: string; prompt_ids: number[]; greedy_ids: number[] }[];
  validation: string | null;
  validationContext: number;
}

const STORY_TOKENS = 160;
const STORY = { temperature: 0.7, topK: 40, topP: 0.95, seed: 7 };
const LOSS_BYTES = 2048;

/**
 * Writes a text as it is decoded, then proves that sharding lost nothing: the same tokens as one process and as the reference, and
 * the loss with and without the memory.
 *
 * @throws OperatingError DEMONSTRATION_FAILED when a token differs that must not
 */
export async function demonstrate(client: Client, modelPath: string, arithmetic: Arithmetic): Promise<void> {
  const recorded = await readRecorded(modelPath);
  const context = await openModel(modelPath, arithmetic);
  try {
    const prompt = recorded.greedy[0]?.prompt ?? 'The ';
    const maxTokens = Math.min(
      STORY_TOKENS,
      context.checkpoint.config.maxSequenceLength - context.tokenizer.encode(prompt).length,
    );
    const view = startLiveView(client);
    view.write(prompt);
    const story = await client.generate({
      prompts: [prompt],
      maxTokens,
      ...STORY,
      onToken: ({ text }) => view.write(text),
    });
    await view.end();
    const tokenCount = story.sequences[0].tokenIds.length;

    const checks: [what: string, result: string, ok: boolean][] = [];
    const alone = await generateAlone(context, [prompt], maxTokens, STORY);
    checks.push(
      sameTokens(`the ${tokenCount} tokens above, against one process`, [story.sequences[0].tokenIds], alone),
    );
    if (recorded.greedy.length > 0) {
      const prompts = recorded.greedy.map((one) => one.prompt_ids);
      const count = Math.max(...recorded.greedy.map((one) => one.greedy_ids.length));
      const cluster = await client.generate({ prompts, maxTokens: count });
      const tokens = cluster.sequences.map(({ tokenIds }, i) =>
        tokenIds.slice(0, recorded.greedy[i].greedy_ids.length),
      );
      const [what, result, same] = sameTokens(
        `${prompts.length} recorded continuations, against the reference (io.json)`,
        tokens,
        recorded.greedy.map((one) => one.greedy_ids),
      );
      // The reference has multiplied activations in f32.
      if (same || arithmetic.activations !== 'BF16') checks.push([what, result, same]);
      else checks.push([what, 'different, as activations in bf16 can make them', true]);
      const greedyAlone = await generateAlone(context, prompts, count, { temperature: 0, seed: 0 });
      checks.push(
        sameTokens(
          'the same, against one process',
          cluster.sequences.map(({ tokenIds }) => tokenIds),
          greedyAlone,
        ),
      );
    }
    process.stdout.write(`\n${checks.map(([what, result]) => `${what}: ${result}`).join('\n')}\n`);
    if (recorded.validation !== null)
      await showLoss(client, context, recorded.validation, recorded.validationContext);
    process.stdout.write(
      `decoding: ${(tokenCount / (story.elapsedMs / 1000)).toFixed(1)} tokens/s, one sequence; ${(100 * story.hiddenFraction).toFixed(0)} % of the lookup time was hidden behind computing\n`,
    );
    if (!checks.every(([, , ok]) => ok))
      throw new OperatingError(
        'DEMONSTRATION_FAILED',
        'tokens differ, see above; expected the same from every way of running the model; please report it',
      );
  } finally {
    await context.checkpoint.close();
  }
}

async function generateAlone(
  { model, tokenizer }: OpenModel,
  prompts: readonly (string | number[])[],
  maxNewTokens: number,
  how: { temperature: number; topK?: number; topP?: number; seed: number },
): Promise<number[][]> {
  const tokens: number[][] = prompts.map(() => []);
  const ids = prompts.map((prompt) => (typeof prompt === 'string' ? tokenizer.encode(prompt) : prompt));
  const { seed, ...sampling } = how;
  for await (const { sequence, tokenId } of generate(model, {
    prompts: ids,
    maxNewTokens,
    sampling: parseSampling(sampling),
    seed,
    stopAtEos: false,
  }))
    tokens[sequence].push(tokenId);
  return tokens;
}

function sameTokens(
  what: string,
  found: readonly number[][],
  expected: readonly number[][],
): [string, string, boolean] {
  const same =
    found.length === expected.length && found.every((tokens, i) => tokens.join() === expected[i].join());
  return [what, same ? 'identical' : 'DIFFERENT', same];
}

/** Loss with and without the memory; and on the first window, against one process, to the last bit of the sum. */
async function showLoss(
  client: Client,
  { model, tokenizer, checkpoint }: OpenModel,
  text: string,
  context: number,
): Promise<void> {
  const tokenIds = Uint32Array.from(tokenizer.encode(text).slice(0, LOSS_BYTES + 1));
  const progress = startProgress('measuring the loss', 3);
  const contextLength = Math.min(context, checkpoint.config.maxSequenceLength);
  const measured = [];
  for (const withMemory of [true, false]) {
    measured.push(await client.evaluate({ tokenIds, contextLength, withMemory }));
    progress.update(measured.length);
  }
  const window = tokenIds.subarray(0, contextLength + 1);
  const sharded = await client.evaluate({ tokenIds: window, contextLength, withMemory: true });
  const alone = await evaluate(model, { tokenIds: window, contextLength });
  progress.stop();
  const [withMemory, without] = measured.map(({ lossSum, tokenCount }) => (lossSum / tokenCount).toFixed(4));
  const difference = Math.abs(sharded.lossSum - alone.lossSum);
  process.stdout.write(
    [
      `loss on ${measured[0].tokenCount} tokens of validation text: ${withMemory} nats with the memory, ${without} without`,
      `summed loss of the first ${alone.tokenCount}, against one process: ${difference === 0 ? 'the same bits' : `differs by ${difference.toExponential(1)} (partial sums of row slices are rounded once more)`}`,
      '',
    ].join('\n'),
  );
}

async function readRecorded(modelPath: string): Promise<Recorded> {
  const read = (file: string) => readFile(join(modelPath, file), 'utf8').catch(() => null);
  const io = await read('io.json');
  const json =
    io === null ? {} : (JSON.parse(io) as { greedy?: Recorded['greedy']; validation_context?: number });
  return {
    greedy: json.greedy ?? [],
    validation: await read('validation.txt'),
    validationContext: json.validation_context ?? 128,
  };
}
