import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { repositoryPath } from './repository-path.ts';

const program = 'apps/cli/bin/ultramem.js';

/** The flags that `ultramem VERB --help` lists, of the CLI as it was built. Throws when there is no CLI or no such verb. */
export function cliFlags(verb: string): ReadonlySet<string> {
  if (!existsSync(repositoryPath(program))) {
    throw new Error(
      `${program} is missing; the deploy files call it; add it, or run the tests from a whole checkout`,
    );
  }
  const words = verb.startsWith('--') ? [verb] : [verb, '--help'];
  const { status, stdout, stderr } = spawnSync(process.execPath, [repositoryPath(program), ...words], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  if (status !== 0) throw new Error(`\`ultramem ${words.join(' ')}\` ended with ${status}: ${stderr}`);
  // A program may answer `--help` after an unknown verb with its general help.
  if (!verb.startsWith('--') && !new RegExp(`^Usage: ultramem ${verb}\\b`, 'm').test(stdout)) {
    throw new Error(`\`ultramem ${verb}\` is no verb: its help says\n${stdout}`);
  }
  return listedFlags(stdout);
}

/** Flags at the start of a line of a help text: `  --model DIR   ...` and `  -m, --model DIR`. */
export function listedFlags(help: string): ReadonlySet<string> {
  return new Set([...help.matchAll(/^\s+(?:-\w,? +)?(--[a-z][a-z-]*)/gm)].map(([, flag = '']) => flag));
}
