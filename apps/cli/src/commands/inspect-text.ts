import { formatBytes } from '@ultramem/planner';
import { printTable } from '../print-table.ts';
import type { InspectFacts } from './inspect-facts.ts';

const LINE_CHARACTERS = 108;

/** The facts for people: tables without lines, at most 108 characters wide but for long paths. */
export function inspectText(facts: InspectFacts): string {
  const { transformer } = facts;
  const groups =
    transformer.keyValueHeads === transformer.heads
      ? ''
      : ` (${transformer.keyValueHeads} for keys and values)`;
  const rows =
    transformer.embeddingSize === transformer.vocabSize ? '' : ` in ${transformer.embeddingSize} rows`;
  const sections = [
    printTable(
      ['model', facts.model],
      [
        ['fingerprint', facts.fingerprint],
        ['family', facts.family],
        [
          'transformer',
          `${counted(transformer.blocks, 'block')}, width ${transformer.width}, ${counted(transformer.heads, 'head')}${groups}, MLP ${transformer.mlpWidth} ${transformer.activation}`,
        ],
        ['vocabulary', `${transformer.vocabSize} tokens${rows}, context ${transformer.contextTokens}`],
        ['tokenizer', TOKENIZERS[facts.tokenizer]],
      ],
    ),
    memoryText(facts),
    insertionText(facts),
    partsText(facts),
    odditiesText(facts),
  ];
  return sections.filter((section) => section !== '').join('\n\n');
}

const TOKENIZERS: Readonly<Record<InspectFacts['tokenizer'], string>> = {
  bytes: 'none needed: tokens are bytes',
  'tokenizer.json': 'tokenizer.json',
  missing: 'missing',
  invalid: 'tokenizer.json, which cannot be used',
};

function memoryText({ memory }: InspectFacts): string {
  if (memory === null) return '';
  const tables = memory.tableCount === 1 ? 'one table' : `${memory.tableCount} tables`;
  const window =
    memory.windowRows === memory.tableRows ? '' : `, of which a layer reaches ${memory.windowRows}`;
  const pooled = memory.poolBlocks === memory.virtualBlocks ? '' : `, summed into ${memory.poolBlocks}`;
  const activation = memory.preActivation ? ', then gelu' : '';
  const queries =
    memory.queryGroupCount === 1
      ? 'one query'
      : `${memory.queryGroupCount} queries, ${memory.queryGroupUsed} used`;
  return printTable(
    ['memory', counted(memory.layerCount, 'layer')],
    [
      ['slots', `${memory.slots} in ${tables} of ${memory.tableRows} rows x ${memory.valueWidth}${window}`],
      [
        'virtual slots',
        `${memory.virtualSlotsPerLayer} a layer in ${counted(memory.virtualBlocks, 'block')}${pooled}`,
      ],
      ['pre-values', memory.preWidth === 0 ? 'none' : `width ${memory.preWidth}${activation}`],
      [
        'keys',
        `${memory.keyCount} per axis, width ${memory.keyWidth}, Tucker rank ${memory.rank}, ${counted(memory.coreCount, 'core')}`,
      ],
      ['selection', `${counted(memory.headCount, 'head')}, top-k ${memory.topK}, ${queries}`],
    ],
  );
}

function insertionText({ insertions }: InspectFacts): string {
  if (insertions.length === 0) return '';
  return printTable(
    ['layer', 'reads block', 'added after block', ''],
    insertions.map(({ layer, readBlock, writeBlock, lost }) => [
      `${layer}`,
      `${readBlock}`,
      `${writeBlock}`,
      lost ? 'its output is lost' : '',
    ]),
  );
}

function partsText({ parts, parameterCount, bytes }: InspectFacts): string {
  const rows = parts.map((part) => [
    part.part,
    `${part.tensorCount}`,
    part.dtypes.join(', '),
    `${part.elementCount}`,
    formatBytes(part.bytes),
  ]);
  return `${printTable(['part', 'tensors', 'stored as', 'elements', 'bytes'], rows)}\n\n${parameterCount} parameters, ${formatBytes(bytes)} (${bytes} bytes)`;
}

function odditiesText({ oddities }: InspectFacts): string {
  if (oddities.length === 0) return 'nothing odd about it';
  return oddities.map(({ kind, text }) => indented(`${kind}: ${text}`)).join('\n');
}

/** Breaks at spaces; lines after the first are indented. */
function indented(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const longer = lines.length === 0 ? word : `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && longer.length <= LINE_CHARACTERS) lines[lines.length - 1] = longer;
    else lines.push(lines.length === 0 ? word : `  ${word}`);
  }
  return lines.join('\n');
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
