import { wholeNumber } from '@ultramem/command-line';
import { OperatingError } from '@ultramem/invariant';
import { type MemoryFamily, type ModelConfig, parseInsertions, parseModelConfig } from '@ultramem/ultramem';

/** Flags of `synth` that say what the model looks like; none of them but `slots` goes with `like` or `config`. */
export interface ShapeFlags {
  family?: string;
  slots?: string;
  dModel?: string;
  blocks?: string;
  insert?: string;
  heads?: string;
  topK?: string;
  keyWidth?: string;
  valueWidth?: string;
}

const FAMILIES: Readonly<Record<string, MemoryFamily>> = {
  v1: 'ultramem_v1',
  v2: 'ultramem_v2',
  'memory-plus': 'memory_plus',
};
const BYTE_TOKENS = 256;
const TOP_K = 16;
const ATTENTION_HEAD_WIDTH = 64;
const PRE_WIDTH = 32;
const DEFAULT_SLOTS = '64K';

/**
 * A small transformer of the published experiments' kind around a memory of the wanted size, as a `config.json`.
 *
 * @throws OperatingError USAGE for a flag; whether the whole is a model is `parseModelConfig`'s and `memoryGeometry`'s to say
 */
export function configOfFlags(flags: ShapeFlags): Record<string, unknown> {
  const count = (flag: string, text: string | undefined, usual: number): number =>
    text === undefined ? usual : wholeNumber(flag, 1, 2 ** 31)(text);
  const family = FAMILIES[flags.family ?? 'v2'];
  if (family === undefined)
    throw usage(`--family is ${JSON.stringify(flags.family)}`, Object.keys(FAMILIES).join(', '));
  const width = count('--d-model', flags.dModel, 256);
  if (width % 2 !== 0) throw usage(`--d-model is ${width}`, 'an even number');
  const blocks = count('--blocks', flags.blocks, 6);
  const isPlus = family === 'memory_plus';
  const settings = {
    ...{
      d_model: width,
      n_layers: blocks,
      n_heads: width % ATTENTION_HEAD_WIDTH === 0 ? width / ATTENTION_HEAD_WIDTH : 1,
    },
    ...{
      mlp_ratio: 4,
      activation_type: 'swiglu',
      rope: true,
      attention_layer_norm: true,
      layer_norm_type: 'rms',
      include_bias: false,
    },
    ...{
      attention_dropout: 0,
      residual_dropout: 0,
      embedding_dropout: 0,
      max_sequence_length: 1024,
      weight_tying: true,
    },
    ...{ vocab_size: BYTE_TOKENS, embedding_size: BYTE_TOKENS, eos_token_id: 0, pad_token_id: 1 },
    ...{
      mem_type: family,
      mem_insert_way: flags.insert ?? (family === 'ultramem_v2' ? 'full' : everyThirdBlock(blocks)),
    },
    ...{
      mem_head: count('--heads', flags.heads, family === 'ultramem_v2' ? 1 : 2),
      mem_kdim: count('--key-width', flags.keyWidth, 64),
    },
    ...{ mem_vdim: count('--value-width', flags.valueWidth, isPlus ? width : 64) },
    ...(family === 'ultramem_v2' ? { mem_pre_vdim: PRE_WIDTH, mem_q_for_each_tucker_rank: true } : {}),
  };
  const sized = withSlots(settings, flags.slots ?? DEFAULT_SLOTS);
  return { ...sized, mem_knn: count('--top-k', flags.topK, Math.min(TOP_K, Number(sized.mem_knum))) };
}

/** A written `config.json` with as many rows as `slots` asks for, and bytes as tokens; its embedding keeps its rows. */
export function configOfJson(json: unknown, slots: string | undefined): Record<string, unknown> {
  const config = parseModelConfig(json);
  const settings = { ...(json as Record<string, unknown>) };
  const asBytes = {
    ...settings,
    embedding_size: config.embeddingSize,
    vocab_size: Math.min(config.vocabSize, BYTE_TOKENS),
  };
  return slots === undefined ? asBytes : withSlots(asBytes, slots);
}

/** The least `mem_knum` with which the table (of v1: each memory layer's) has at least so many rows (SEMANTICS 4, 5.1, 6). */
export function withSlots(
  settings: Readonly<Record<string, unknown>>,
  slots: string,
): Record<string, unknown> {
  const rows = parseCount(slots);
  const config: ModelConfig = parseModelConfig(settings);
  const shares = config.memFamily === 'ultramem_v2' ? Math.max(1, parseInsertions(config).length) : 1;
  let knum = Math.max(1, Math.floor(Math.sqrt(rows / shares)));
  while (knum * knum * shares < rows) knum++;
  return { ...settings, mem_knum: knum };
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1e3, M: 1e6, G: 1e9, B: 1e9 };

/** `1000000`, `1M`, `2.5M`, `1G`: powers of 1000, as numbers of slots are given in the papers. */
function parseCount(text: string): number {
  const [, digits = '0', unit = ''] = /^(\d+(?:\.\d+)?)([KMGB]?)$/i.exec(text) ?? [];
  const count = Math.round(Number(digits) * (UNITS[unit.toUpperCase()] ?? 0));
  if (count < 1 || count >= 2 ** 32)
    throw usage(
      `--slots is ${JSON.stringify(text)}`,
      'a number of 1 to 4294967295, with K, M or G for thousands, millions or billions',
    );
  return count;
}

/** Reads at every third block and adds one block later, where there is one: no output waits while another is made. */
function everyThirdBlock(blocks: number): string {
  const reads = Array.from({ length: Math.ceil(blocks / 3) }, (_, i) => 3 * i);
  return reads.map((block) => `${block}:${Math.min(block + 1, blocks - 1)}`).join('/');
}

function usage(wrong: string, expected: string): OperatingError {
  return new OperatingError('USAGE', `${wrong}; expected ${expected}; correct it`);
}
