import { readFile } from 'node:fs/promises';
import { convertedConfig, convertTables, openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { startProgress } from '@ultramem/command-line';
import { evaluate } from '@ultramem/inference';
import { OperatingError, present } from '@ultramem/invariant';
import { formatBytes } from '@ultramem/planner';
import { winnersPerToken } from '@ultramem/ultramem';
import { Command } from 'commander';
import { openModel } from '../open-model.ts';
import { writeModel } from '../write-model.ts';
import { pooledError } from './convert-error.ts';

interface ConvertFlags {
  model: string;
  out: string;
  values: string;
  validate?: string;
  json?: boolean;
}

/** What `convert --json` prints. */
export interface ConvertFacts {
  model: string;
  out: string;
  values: 'int8_block64';
  tableBytes: { before: number; after: number };
  bytes: number;
  errors: { table: string; relativeError: number }[];
  /** Nats per token of the text of --validate; null without it. */
  loss: { before: number; after: number; tokenCount: number } | null;
}

/** As the figures published for the demo model have it; longer contexts cost more and tell no more about tables. */
const CONTEXT_TOKENS = 128;
/** Files that a model needs besides, where it has them. */
const TEXTS = ['tokenizer.json', 'tokenizer_config.json'];

/** `ultramem convert`: the same model with narrower value tables, and what that costs. */
export function convertCommand(): Command {
  return new Command('convert')
    .description(
      'Write a model with its value tables in int8, a bf16 scale for each 64 columns: about half the bytes of bf16. Says what error that causes.',
    )
    .requiredOption('--model <dir>', 'model whose tables are floats')
    .requiredOption('--out <dir>', 'directory to write, which must be new or empty')
    .requiredOption('--values <kind>', 'int8')
    .option('--validate <file>', 'also measure the loss on this text, before and after')
    .option('--json', 'print facts as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  ultramem convert --model ./model --out ./model-int8 --values int8 --validate ./text.txt',
    )
    .action(async (flags: ConvertFlags) => {
      if (flags.values !== 'int8')
        throw new OperatingError(
          'USAGE',
          `--values is ${JSON.stringify(flags.values)}; expected int8; correct it`,
        );
      const text = flags.validate === undefined ? null : await readText(flags.validate);
      const facts = await convert(flags.model, flags.out, text);
      process.stdout.write(`${flags.json ? JSON.stringify(facts) : convertText(facts)}\n`);
    });
}

export async function convert(path: string, out: string, text: string | null): Promise<ConvertFacts> {
  const directory = fileDirectory(path);
  const before = await openCheckpoint(directory, { parts: 'all' });
  try {
    const conversion = convertTables(before);
    const configText = present(await directory.readText('config.json'), 'an open model has one');
    const texts = new Map<string, string>();
    for (const file of TEXTS) {
      const content = await directory.readText(file);
      if (content !== null) texts.set(file, content);
    }
    await writeModel(out, {
      configText: convertedConfig(configText),
      modelBytes: conversion.byteCount,
      writeModel: (sink) => conversion.write(sink),
      texts,
    });
    const after = await openCheckpoint(fileDirectory(out), { parts: 'all' });
    try {
      const geometry = present(before.geometry, 'a model with tables has memory layers');
      return {
        ...{ model: path, out, values: 'int8_block64' },
        ...{ tableBytes: conversion.tableBytes, bytes: conversion.byteCount },
        errors: await pooledError(before, after, winnersPerToken(geometry)),
        loss: text === null ? null : await losses([path, out], text),
      };
    } finally {
      await after.close();
    }
  } finally {
    await before.close();
  }
}

async function losses([before, after]: [string, string], text: string): Promise<ConvertFacts['loss']> {
  const measured = [];
  for (const path of [before, after]) {
    const { checkpoint, model, tokenizer } = await openModel(path);
    const progress = startProgress(`measuring the loss of ${path}`, 1);
    const tokenIds = tokenizer.encode(text);
    try {
      const { lossSum, tokenCount } = await evaluate(model, {
        tokenIds,
        contextLength: Math.min(CONTEXT_TOKENS, checkpoint.config.maxSequenceLength),
        onProgress: (scored, target) => progress.update(scored / target),
      });
      measured.push({ loss: lossSum / tokenCount, tokenCount });
    } finally {
      progress.stop();
      await model.kernels.close();
      await checkpoint.close();
    }
  }
  const [first, second] = measured;
  return { before: first.loss, after: second.loss, tokenCount: first.tokenCount };
}

async function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new OperatingError(
      'USAGE',
      `--validate ${path} cannot be read (${error.code}); expected a text file; correct it`,
    );
  });
}

export function convertText(facts: ConvertFacts): string {
  const { tableBytes, errors, loss } = facts;
  const lines = [
    `wrote ${facts.out}: value tables ${formatBytes(tableBytes.before)} to ${formatBytes(tableBytes.after)}, ${formatBytes(facts.bytes)} in all`,
    ...errors.map(
      ({ table, relativeError }) =>
        `pooled vectors of ${table} differ by ${(100 * relativeError).toFixed(2)} % (root mean square)`,
    ),
  ];
  if (loss !== null) {
    const change = loss.after - loss.before;
    lines.push(
      `loss on ${loss.tokenCount} tokens: ${loss.before.toFixed(5)} nats before, ${loss.after.toFixed(5)} after (${change < 0 ? '' : '+'}${change.toFixed(5)})`,
    );
  }
  return lines.join('\n');
}
