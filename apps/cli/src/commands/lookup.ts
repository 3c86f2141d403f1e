import { wholeNumber } from '@ultramem/command-line';
import { explainLookup, type LookupAnswer, type LookupRequest } from '@ultramem/inference';
import { formatBytes } from '@ultramem/planner';
import type { MessageOfKind } from '@ultramem/protocol';
import { Command } from 'commander';
import {
  type Arithmetic,
  type ArithmeticFlags,
  activationsOption,
  backendOption,
  parseArithmetic,
} from '../arithmetic-options.ts';
import { coordinatorOption, tokenFileOption, withClient } from '../coordinator-option.ts';
import { openModel } from '../open-model.ts';
import { printTable } from '../print-table.ts';

type Explanation = Omit<MessageOfKind<'explanation'>, 'id' | 'kind'>;

/** Winners and candidates shown of each head; `--json` has all. */
const SHOWN = 8;

interface LookupFlags extends ArithmeticFlags {
  coordinator?: string;
  tokenFile?: string;
  prompt: string;
  position?: string;
  layer?: string;
  json?: boolean;
}

/** `ultramem lookup`: one token's retrieval explained, by a running cluster or with `--model` in this process. */
export function lookupCommand(): Command {
  return new Command('lookup')
    .description(
      "Explain one token's memory lookup: candidates, winners with scores, slots, owners, bytes, time per phase.",
    )
    .addOption(coordinatorOption().conflicts('model'))
    .addOption(tokenFileOption())
    .option('--model <dir>', 'look it up here, without a cluster')
    .addOption(backendOption())
    .addOption(activationsOption())
    .requiredOption('--prompt <text>', 'text that ends in the token, or holds it')
    .option('--position <number>', 'which token of the text, from 0 (default: the last)')
    .option('--layer <number>', 'which memory layer, from 0 (default: the first)')
    .option('--json', 'print everything as JSON')
    .addHelpText('after', '\nExample:\n  ultramem lookup --prompt "To be, or not to be" --layer 1')
    .action(async (flags: LookupFlags, command: Command) => {
      const arithmetic = parseArithmetic(flags, command);
      const position = flags.position === undefined ? null : wholeNumber('--position', 0)(flags.position);
      const layer = flags.layer === undefined ? null : wholeNumber('--layer', 0)(flags.layer);
      const asked = { text: flags.prompt, position, layer };
      const explanation =
        flags.model === undefined
          ? await explainThere(flags, asked)
          : await explainHere(flags.model, arithmetic, asked);
      process.stdout.write(
        `${flags.json ? JSON.stringify(explanation) : describeExplanation(explanation)}\n`,
      );
    });
}

interface Asked {
  text: string;
  position: number | null;
  layer: number | null;
}

async function explainThere(flags: LookupFlags, asked: Asked): Promise<Explanation> {
  const { id: _, kind: __, ...explanation } = await withClient(flags, (client) => client.explain(asked));
  return explanation;
}

/** The same from this process alone: one shard that nobody has to be asked for. */
async function explainHere(
  path: string,
  arithmetic: Arithmetic,
  { text, position, layer }: Asked,
): Promise<Explanation> {
  const { model, tokenizer, checkpoint } = await openModel(path, arithmetic);
  let lookupMs = 0;
  const timed = async (request: LookupRequest): Promise<LookupAnswer> => {
    const startMs = performance.now();
    const answer = await model.lookUp(request);
    lookupMs = performance.now() - startMs;
    return answer;
  };
  const explained = await explainLookup(model, timed, { tokenIds: tokenizer.encode(text), position, layer });
  await checkpoint.close();
  return {
    token: { ...explained.token, text: tokenizer.decode([explained.token.tokenId]) },
    layer: explained.layer,
    partition: 'one process',
    scoredBy: 'coordinator',
    heads: explained.heads.map((head) => ({
      ...head,
      winners: head.winners.map((winner) => ({ ...winner, shard: 0 })),
    })),
    phases: [{ name: 'lookup', ms: lookupMs }],
    shards: [],
  };
}

export function describeExplanation(explanation: Explanation): string {
  const { token, layer, heads } = explanation;
  const list = (keys: readonly { index: number; score: number }[]) =>
    keys
      .slice(0, SHOWN)
      .map(({ index, score }) => `${index} (${score.toFixed(3)})`)
      .join(', ') + (keys.length > SHOWN ? `, ... ${keys.length} in all` : '');
  const lines = [
    `token ${token.position} ${JSON.stringify(token.text)} (id ${token.tokenId}), memory layer ${layer.number}: reads block ${layer.readBlock}, adds after block ${layer.writeBlock}`,
    explanation.shards.length === 0
      ? 'in one process'
      : `partition ${explanation.partition}, keys scored on the ${explanation.scoredBy}`,
  ];
  for (const [number, head] of heads.entries()) {
    lines.push('', `head ${number}`, `  rows     ${list(head.rows)}`, `  columns  ${list(head.columns)}`, '');
    const rows = head.winners
      .slice(0, SHOWN)
      .map(({ virtualIndex, row, column, score, weight, block, slot, shard }) => [
        ...[virtualIndex, row, column].map(String),
        score.toFixed(4),
        weight.toFixed(4),
        ...[block, slot].map(String),
        explanation.partition === 'columns' ? 'all' : `${shard}`,
      ]);
    lines.push(
      indent(printTable(['winner', 'row', 'column', 'score', 'weight', 'block', 'slot', 'shard'], rows)),
    );
    if (head.winners.length > SHOWN) lines.push(`  ... ${head.winners.length} winners in all (--json)`);
  }
  const shards = explanation.shards.map(({ shard, workerId, slots, sentBytes, receivedBytes }) => [
    `${shard}`,
    workerId ?? '-',
    `${slots}`,
    formatBytes(sentBytes),
    formatBytes(receivedBytes),
  ]);
  lines.push(
    ...(shards.length === 0 ? [] : ['', printTable(['shard', 'worker', 'slots', 'out', 'in'], shards)]),
    '',
    printTable(
      ['phase', 'ms'],
      explanation.phases.map(({ name, ms }) => [name, ms.toFixed(3)]),
    ),
  );
  return lines.join('\n');
}

function indent(text: string): string {
  return text.replace(/^/gm, '  ');
}
