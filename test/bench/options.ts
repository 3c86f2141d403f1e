import { parseArgs } from 'node:util';
import { type Backend, parseBackend } from '@ultramem/backends';
import { OperatingError } from '@ultramem/invariant';
import type { ActivationDType } from '@ultramem/kernels';

export interface BenchOptions {
  /** Cases to run, in this order. */
  names: string[];
  format: 'table' | 'json' | 'markdown';
  /** Small sizes and few rounds: does it run, not how fast. */
  quick: boolean;
  /** False leaves out every peer, also where it is installed. */
  peers: boolean;
  backend: Backend | 'auto';
  threads: number | null;
  workers: number;
  rounds: number;
  seconds: number;
  scratch: string | null;
  /** Null: what each case takes by itself. */
  batches: number[] | null;
  dtypes: Dtype[] | null;
  shape: LayerShape;
}

export type Dtype = 'F32' | 'BF16';

/** What a model is stored in and what its weights multiply. */
export interface Arithmetic {
  dtype: Dtype;
  activations: ActivationDType;
  /** For the names of its rows. */
  suffix: string;
}

const ARITHMETICS: readonly Arithmetic[] = [
  { dtype: 'F32', activations: 'F32', suffix: '' },
  { dtype: 'BF16', activations: 'F32', suffix: '' },
  { dtype: 'BF16', activations: 'BF16', suffix: ', activations in bf16' },
];

/** All for the dtypes asked for. PyTorch's weights in bf16 multiply activations in bf16; ours do both. */
export function arithmetics({ dtypes }: Pick<BenchOptions, 'dtypes'>): Arithmetic[] {
  return ARITHMETICS.filter(({ dtype }) => dtypes === null || dtypes.includes(dtype));
}

/** Of the memory layer that selection, pooling and lookups are measured on. */
export interface LayerShape {
  /** The table has n² rows. */
  n: number;
  k: number;
  heads: number;
  /** Of a key. */
  width: number;
  /** Of a value. */
  dim: number;
}

const DEFAULT_SHAPE: LayerShape = { n: 808, k: 80, heads: 2, width: 192, dim: 384 };
const QUICK_SHAPE: LayerShape = { n: 64, k: 16, heads: 2, width: 32, dim: 64 };

export const HELP = `usage: npm run bench -- [CASE ...] [options]

  --quick              small sizes, few rounds: does it run, not how fast
  --json               one JSON object a line        --markdown  a table for docs/performance.md
  --backend NAME       kernels (default: auto)       --threads COUNT
  --workers COUNT      worker processes of a lookup (default: 4)
  --batch LIST         such as 1,16,256              --dtype LIST    f32,bf16
  --n N                the table has N x N rows (default: ${DEFAULT_SHAPE.n})
  --k COUNT            slots a head (${DEFAULT_SHAPE.k})                --heads COUNT   1 or 2 (${DEFAULT_SHAPE.heads})
  --width COUNT        of a key (${DEFAULT_SHAPE.width})                  --dim COUNT     of a value (${DEFAULT_SHAPE.dim})
  --rounds COUNT       ours, theirs, ours, ... (default: 7)
  --seconds SECONDS    of one side in one round (default: 0.3)
  --no-peers           ours alone
  --scratch DIR        where models are written (default: the system's temporary directory); up to 25 GB, removed at the end
`;

/** @throws OperatingError USAGE */
export function parseOptions(args: readonly string[], known: readonly string[]): BenchOptions | 'help' {
  const { values, positionals } = readArguments(args);
  if (values.help) return 'help';
  const unknown = positionals.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw usage(`there is no case ${JSON.stringify(unknown)}`, `any of ${known.join(', ')}`);
  if (values.json && values.markdown) throw usage('--json and --markdown are both given', 'one of them');
  const quick = values.quick ?? false;
  const count = (
    name: 'n' | 'k' | 'heads' | 'width' | 'dim' | 'workers' | 'rounds' | 'threads',
    usual: number,
    max = 2 ** 20,
  ) => (values[name] === undefined ? usual : wholeNumber(`--${name}`, values[name], max));
  const usual = quick ? QUICK_SHAPE : DEFAULT_SHAPE;
  const shape: LayerShape = {
    n: count('n', usual.n, 2 ** 15),
    k: count('k', usual.k),
    heads: count('heads', usual.heads, 2),
    width: count('width', usual.width),
    dim: count('dim', usual.dim),
  };
  if (shape.k > 2 * shape.n) throw usage(`--k is ${shape.k}`, `at most ${2 * shape.n}, the keys of an axis`);
  if (shape.dim % 2 !== 0) throw usage(`--dim is ${shape.dim}`, 'an even number, for two cores share it');
  return {
    names: positionals.length > 0 ? positionals : [...known],
    format: values.json ? 'json' : values.markdown ? 'markdown' : 'table',
    quick,
    peers: !values['no-peers'],
    backend: parseBackend(values.backend ?? 'auto'),
    threads: values.threads === undefined ? null : count('threads', 0),
    workers: count('workers', quick ? 2 : 4, 64),
    rounds: count('rounds', quick ? 2 : 7),
    seconds: values.seconds === undefined ? (quick ? 0.02 : 0.3) : positive('--seconds', values.seconds),
    scratch: values.scratch ?? null,
    batches:
      values.batch === undefined
        ? null
        : values.batch.split(',').map((text) => wholeNumber('--batch', text, 65536)),
    dtypes: values.dtype === undefined ? null : values.dtype.split(',').map(parseDtype),
    shape,
  };
}

function readArguments(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const options = {
    ...{
      help: flag,
      quick: flag,
      json: flag,
      markdown: flag,
      'no-peers': flag,
      backend: text,
      threads: text,
    },
    ...{ workers: text, rounds: text, seconds: text, scratch: text, batch: text, dtype: text },
    ...{ n: text, k: text, heads: text, width: text, dim: text },
  };
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (cause) {
    const [first = 'the arguments make no sense'] = (cause as Error).message.split(/\. |\n/);
    throw usage(first, 'what --help lists');
  }
}

function wholeNumber(name: string, text: string, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > max)
    throw usage(`${name} is ${JSON.stringify(text)}`, `a whole number of 1 to ${max}`);
  return value;
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 3600)) throw usage(`${name} is ${JSON.stringify(text)}`, 'a number above 0');
  return value;
}

function parseDtype(text: string): Dtype {
  if (text === 'f32') return 'F32';
  if (text === 'bf16') return 'BF16';
  throw usage(`--dtype is ${JSON.stringify(text)}`, 'f32, bf16 or f32,bf16');
}

function usage(wrong: string, expected: string): OperatingError {
  return new OperatingError('USAGE', `${wrong}; expected ${expected}; see: npm run bench -- --help`);
}
