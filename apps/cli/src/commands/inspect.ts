import { openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { Command, Option } from 'commander';
import { inspectFacts } from './inspect-facts.ts';
import { inspectText } from './inspect-text.ts';

/** `ultramem inspect`: what a checkpoint is, and what is odd about it. */
export function inspectCommand(): Command {
  return new Command('inspect')
    .description(
      'Describe a checkpoint: family, shapes, dtypes, slots, bytes, and what is odd about it. Reads no large tensor.',
    )
    .addOption(
      new Option('--model <dir>', 'directory with config.json and model.safetensors')
        .env('ULTRAMEM_MODEL')
        .makeOptionMandatory(),
    )
    .option('--json', 'print facts as JSON')
    .addHelpText('after', '\nExample:\n  ultramem inspect --model ./model')
    .action(async (flags: { model: string; json?: boolean }) => {
      const directory = fileDirectory(flags.model);
      const checkpoint = await openCheckpoint(directory, { parts: 'all' });
      try {
        const facts = await inspectFacts(directory, checkpoint);
        process.stdout.write(`${flags.json ? JSON.stringify(facts) : inspectText(facts)}\n`);
      } finally {
        await checkpoint.close();
      }
    });
}
