import { number, wholeNumber } from '@ultramem/command-line';
import { randomSeed } from '@ultramem/environment-system';
import { generate, hiddenFraction, parseSampling, type Sampling } from '@ultramem/inference';
import { OperatingError } from '@ultramem/invariant';
import { Command, Option } from 'commander';
import {
  type Arithmetic,
  type ArithmeticFlags,
  activationsOption,
  backendOption,
  parseArithmetic,
} from '../arithmetic-options.ts';
import { coordinatorOption, tokenFileOption, withClient } from '../coordinator-option.ts';
import { openModel } from '../open-model.ts';

interface GenerateFlags extends ArithmeticFlags {
  coordinator?: string;
  tokenFile?: string;
  prompt: string;
  maxTokens: string;
  temperature: string;
  topK?: string;
  topP: string;
  seed?: string;
  timeout: string;
  json?: boolean;
}

interface GenerateCall {
  prompt: string;
  maxTokens: number;
  sampling: Sampling;
  seed: number;
  deadlineMs: number;
  onText: (text: string) => void;
}

interface GenerateFacts {
  tokenIds: number[];
  text: string;
  finish: string;
  elapsedMs: number;
  hiddenFraction: number;
}

/** `ultramem generate`: text from a running cluster, or with `--model` from this process alone. */
export function generateCommand(): Command {
  return new Command('generate')
    .description('Continue a prompt: with a running cluster, or with --model in this process alone.')
    .addOption(coordinatorOption().conflicts('model'))
    .addOption(tokenFileOption())
    .option('--model <dir>', 'run this model here, without a cluster')
    .addOption(backendOption())
    .addOption(activationsOption())
    .requiredOption('--prompt <text>', 'what to continue')
    .option('--max-tokens <count>', 'new tokens at most', '64')
    .option('--temperature <number>', '0 takes the best token', '0')
    .option('--top-k <count>', 'draw from so many best tokens (default: all)')
    .option('--top-p <share>', 'draw from the best tokens that make up this share', '1')
    .option('--seed <number>', 'same seed, same text (default: random)')
    .option('--timeout <seconds>', 'give up after so long', '600')
    .addOption(new Option('--json', 'print token ids, text and figures as JSON'))
    .addHelpText(
      'after',
      '\nExample:\n  ultramem generate --prompt "ROMEO:" --max-tokens 100 --temperature 0.8 --top-k 40 --seed 7',
    )
    .action(async (flags: GenerateFlags, command: Command) => {
      const text = createTextWriter(flags);
      const arithmetic = parseArithmetic(flags, command);
      const call: GenerateCall = {
        prompt: flags.prompt,
        maxTokens: wholeNumber('--max-tokens', 1, 1e6)(flags.maxTokens),
        sampling: parseSampling({
          temperature: number('--temperature', 0, 100)(flags.temperature),
          topK: flags.topK === undefined ? undefined : wholeNumber('--top-k', 1)(flags.topK),
          topP: number('--top-p', 0, 1)(flags.topP),
        }),
        seed: flags.seed === undefined ? randomSeed() : wholeNumber('--seed', 0)(flags.seed),
        deadlineMs: 1000 * number('--timeout', 0.001, 1e6)(flags.timeout),
        onText: text.write,
      };
      if (call.prompt === '')
        throw new OperatingError(
          'USAGE',
          '--prompt is empty; expected some text to continue; write a prompt',
        );
      const generation =
        flags.model === undefined ? generateThere(flags, call) : generateHere(flags.model, arithmetic, call);
      const facts = await generation.finally(text.end);
      const tokensPerSecond = facts.tokenIds.length / (facts.elapsedMs / 1000);
      if (flags.json)
        process.stdout.write(
          `${JSON.stringify({ prompt: call.prompt, seed: call.seed, ...facts, tokensPerSecond })}\n`,
        );
      else
        process.stderr.write(
          `${facts.tokenIds.length} tokens, ${tokensPerSecond.toFixed(1)} tokens/s, ${(100 * facts.hiddenFraction).toFixed(0)} % of lookup time hidden, seed ${call.seed}\n`,
        );
    });
}

/** Writes the prompt in front of the first piece and ends the line, so that a failure stands on one of its own whenever it comes. */
function createTextWriter({ json, prompt }: GenerateFlags): { write(text: string): void; end(): void } {
  let started = false;
  return {
    write: (text) => {
      if (json) return;
      process.stdout.write(started ? text : prompt + text);
      started = true;
    },
    end: () => {
      if (started) process.stdout.write('\n');
    },
  };
}

async function generateThere(flags: GenerateFlags, call: GenerateCall): Promise<GenerateFacts> {
  return withClient(flags, async (client) => {
    const { prompt, maxTokens, sampling, seed, deadlineMs, onText } = call;
    const { temperature, topK, topP } = sampling;
    const written = { length: 0 };
    const { sequences, elapsedMs, hiddenFraction } = await client.generate({
      prompts: [prompt],
      maxTokens,
      temperature,
      topK: topK ?? 0,
      topP,
      seed,
      stopAtEos: true,
      deadlineMs,
      onToken: ({ text }) => {
        written.length += text.length;
        onText(text);
      },
    });
    const [sequence] = sequences;
    onText(sequence.text.slice(written.length));
    return { ...sequence, elapsedMs, hiddenFraction };
  });
}

async function generateHere(
  path: string,
  arithmetic: Arithmetic,
  call: GenerateCall,
): Promise<GenerateFacts> {
  const { model, tokenizer, checkpoint } = await openModel(path, arithmetic);
  const { prompt, maxTokens, sampling, seed, onText } = call;
  const startMs = performance.now();
  const stream = tokenizer.createStream();
  const tokenIds: number[] = [];
  let text = '';
  const tokens = generate(model, {
    prompts: [tokenizer.encode(prompt)],
    maxNewTokens: maxTokens,
    sampling,
    seed,
    stopAtEos: true,
  });
  for (;;) {
    const next = await tokens.next();
    const piece = next.done ? stream.end() : stream.push(next.value.tokenId);
    text += piece;
    onText(piece);
    if (performance.now() - startMs > call.deadlineMs)
      throw new OperatingError(
        'DEADLINE_EXCEEDED',
        `generation took longer than ${call.deadlineMs / 1000} s; expected it to end by then; raise --timeout or ask for fewer tokens`,
      );
    if (!next.done) tokenIds.push(next.value.tokenId);
    else {
      await checkpoint.close();
      const { finishReasons, timing } = next.value;
      return {
        tokenIds,
        text,
        finish: finishReasons[0],
        elapsedMs: performance.now() - startMs,
        hiddenFraction: hiddenFraction(timing),
      };
    }
  }
}
