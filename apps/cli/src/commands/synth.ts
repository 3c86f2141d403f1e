import { readFile } from 'node:fs/promises';
import { type SynthOptions, synthByteCount, synthCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { wholeNumber } from '@ultramem/command-line';
import { OperatingError } from '@ultramem/invariant';
import { formatBytes } from '@ultramem/planner';
import { memoryGeometry, parseModelConfig } from '@ultramem/ultramem';
import { Command, Option } from 'commander';
import { writeModel } from '../write-model.ts';
import { configOfFlags, configOfJson, type ShapeFlags } from './synth-config.ts';

interface SynthFlags extends ShapeFlags {
  out: string;
  like?: string;
  config?: string;
  seed: string;
  dtype: string;
  json?: boolean;
}

/** `ultramem synth`: a checkpoint of any size with random weights. */
export function synthCommand(): Command {
  const shape = (flags: string, text: string): Option =>
    new Option(flags, text).conflicts(['like', 'config']);
  return new Command('synth')
    .description(
      'Write a checkpoint of any size with seeded random weights, for capacity tests and benchmarks. Its tokens are bytes.',
    )
    .requiredOption('--out <dir>', 'directory to write, which must be new or empty')
    .addOption(
      new Option('--like <dir>', 'take the shape from the config.json of this model').conflicts('config'),
    )
    .option('--config <file>', 'take the shape from this config.json')
    .option(
      '--slots <count>',
      'rows of the value table (v1: of each), at least: 1000000, 100M, 1G (default: 64K, or as in the config.json)',
    )
    .addOption(shape('--family <name>', 'v1, v2 or memory-plus (default: v2)'))
    .addOption(shape('--d-model <width>', 'width of the transformer (default: 256)'))
    .addOption(shape('--blocks <count>', 'blocks of the transformer (default: 6)'))
    .addOption(
      shape(
        '--insert <list>',
        'where memory layers read and add: full, or r:w/r:w (default: v2 full, else every third block)',
      ),
    )
    .addOption(shape('--heads <count>', 'heads of a memory layer (default: v2 1, else 2)'))
    .addOption(shape('--top-k <count>', 'slots per head (default: 16)'))
    .addOption(shape('--key-width <count>', 'width of a key (default: 64)'))
    .addOption(
      shape('--value-width <count>', 'width of a value (default: 64, memory-plus as the transformer)'),
    )
    .option('--seed <number>', 'equal seeds give equal bytes', '1')
    .option('--dtype <name>', 'bf16 or f32, of matrices and tables', 'bf16')
    .option('--json', 'print facts as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  ultramem synth --out ./big --family v2 --slots 10M --dtype bf16 --seed 7',
    )
    .action(async (flags: SynthFlags) => {
      const dtype = parseDtype(flags.dtype);
      const seed = wholeNumber('--seed', 0)(flags.seed);
      const config = await readShape(flags);
      await write(flags.out, config, { seed, dtype });
      const facts = synthFacts(flags.out, config, { seed, dtype });
      process.stdout.write(`${flags.json ? JSON.stringify(facts) : synthText(facts)}\n`);
    });
}

async function readShape(flags: SynthFlags): Promise<Record<string, unknown>> {
  if (flags.like !== undefined) {
    const text = await fileDirectory(flags.like).readText('config.json');
    if (text === null)
      throw new OperatingError(
        'CHECKPOINT_NOT_FOUND',
        `${flags.like} has no config.json; expected a model whose shape to take; check the path`,
      );
    return configOfJson(parseJson(`${flags.like}/config.json`, text), flags.slots);
  }
  if (flags.config === undefined) return configOfFlags(flags);
  const text = await readFile(flags.config, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new OperatingError(
      'USAGE',
      `--config ${flags.config} cannot be read (${error.code}); expected a file like the config.json of a model; correct it`,
    );
  });
  return configOfJson(parseJson(flags.config, text), flags.slots);
}

function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new OperatingError(
      'CONFIG_INVALID',
      `${name} is not JSON; expected the model section of the reference as a JSON object; correct it`,
      { cause },
    );
  }
}

async function write(path: string, config: Record<string, unknown>, options: SynthOptions): Promise<void> {
  await writeModel(path, {
    configText: `${JSON.stringify(config, null, 2)}\n`,
    modelBytes: synthByteCount(config, options.dtype),
    writeModel: (sink) => synthCheckpoint(config, options, sink),
  });
}

/** What `synth --json` prints. */
export interface SynthFacts {
  out: string;
  family: string;
  memoryLayers: number;
  tables: number;
  rowsPerTable: number;
  slots: number;
  bytes: number;
  dtype: string;
  seed: number;
}

export function synthFacts(
  out: string,
  json: Record<string, unknown>,
  { seed, dtype }: SynthOptions,
): SynthFacts {
  const config = parseModelConfig(json);
  const geometry = memoryGeometry(config);
  const tables = geometry === null ? 0 : geometry.sharedTable ? 1 : geometry.layerCount;
  const rowsPerTable = geometry?.tableRows ?? 0;
  return {
    out,
    family: config.memFamily,
    memoryLayers: geometry?.layerCount ?? 0,
    ...{ tables, rowsPerTable, slots: tables * rowsPerTable },
    bytes: synthByteCount(json, dtype),
    dtype: dtype.toLowerCase(),
    seed,
  };
}

export function synthText(facts: SynthFacts): string {
  const tables = facts.tables === 1 ? 'one table' : `${facts.tables} tables`;
  return [
    `wrote ${facts.out}: ${facts.family}, ${facts.memoryLayers} memory ${facts.memoryLayers === 1 ? 'layer' : 'layers'}, ${facts.slots} slots in ${tables}, ${formatBytes(facts.bytes)}, ${facts.dtype}, seed ${facts.seed}`,
    `look at it: ultramem inspect --model ${facts.out}`,
  ].join('\n');
}

function parseDtype(text: string): SynthOptions['dtype'] {
  if (text === 'bf16') return 'BF16';
  if (text === 'f32') return 'F32';
  throw new OperatingError('USAGE', `--dtype is ${JSON.stringify(text)}; expected bf16 or f32; correct it`);
}
