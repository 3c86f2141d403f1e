import {
  type CheckpointDirectory,
  memoryDirectory,
  openCheckpoint,
  readSafetensorsHeader,
  synthByteCount,
  synthCheckpoint,
} from '@ultramem/checkpoint';
import { describe, expect, it } from 'vitest';
import { type InspectFacts, inspectFacts } from './inspect-facts.ts';
import { inspectText } from './inspect-text.ts';
import { configOfFlags } from './synth-config.ts';

async function directoryOf(
  config: Record<string, unknown>,
  files: [string, string][] = [],
  zeroed: RegExp | null = null,
): Promise<CheckpointDirectory> {
  const model = new Uint8Array(synthByteCount(config, 'F32'));
  let at = 0;
  const write = async (bytes: Uint8Array): Promise<void> => {
    model.set(bytes, at);
    at += bytes.byteLength;
  };
  await synthCheckpoint(config, { seed: 5, dtype: 'F32' }, { write });
  const source = await memoryDirectory('', new Map([['model', model]])).open('model');
  if (source === null) throw new Error('it was just put there');
  const { tensors, dataOffset } = await readSafetensorsHeader(source);
  for (const { name, begin, end } of tensors)
    if (zeroed?.test(name)) model.fill(0, dataOffset + begin, dataOffset + end);
  return memoryDirectory(
    'the-model',
    new Map<string, string | Uint8Array>([
      ['config.json', JSON.stringify(config)],
      ['model.safetensors', model],
      ...files,
    ]),
  );
}

async function factsOf(
  config: Record<string, unknown>,
  files: [string, string][] = [],
): Promise<InspectFacts> {
  const directory = await directoryOf(config, files);
  return inspectFacts(directory, await openCheckpoint(directory, { parts: 'all' }));
}

const V2 = configOfFlags({
  family: 'v2',
  slots: '1200',
  dModel: '32',
  blocks: '3',
  keyWidth: '8',
  valueWidth: '16',
  topK: '4',
});

describe('facts of a checkpoint', () => {
  it('add up', async () => {
    const { parts, bytes, parameterCount, memory, insertions, transformer } = await factsOf(V2);
    // n0 = 20 with 3 memory layers: 1200 rows, windows of 34 * 34.
    expect(memory).toMatchObject({
      slots: 1200,
      tableCount: 1,
      tableRows: 1200,
      windowRows: 1156,
      virtualSlotsPerLayer: 1156,
      preWidth: 32,
    });
    expect(insertions).toEqual(
      [0, 1, 2].map((block) => ({ layer: block, readBlock: block, writeBlock: block, lost: false })),
    );
    expect(transformer).toMatchObject({ blocks: 3, width: 32, vocabSize: 256 });
    const elements = Object.fromEntries(parts.map((part) => [part.part, part.elementCount]));
    expect(elements).toMatchObject({
      keys: 3 * 2 * 34 * 8 * 2,
      values: 1200 * 16,
      'pre-values': 1200 * 32,
      shuffle: 3 * 1156,
    });
    expect(bytes).toBe(parts.reduce((sum, part) => sum + part.bytes, 0));
    const all = parts.reduce((sum, part) => sum + part.elementCount, 0);
    expect(parameterCount).toBe(all - 3 * 1156 - 3 * 2 * 2);
    expect(parts.find(({ part }) => part === 'shuffle')).toMatchObject({
      dtypes: ['I64'],
      bytes: 8 * 3 * 1156,
    });
  });

  it('count a table for each memory layer of v1', async () => {
    const facts = await factsOf(
      configOfFlags({
        family: 'v1',
        slots: '100',
        dModel: '32',
        blocks: '4',
        keyWidth: '8',
        valueWidth: '16',
      }),
    );
    expect(facts.memory).toMatchObject({ slots: 200, tableCount: 2, virtualSlotsPerLayer: 400 });
    expect(facts.oddities).toEqual([]);
  });

  it.each<
    [name: string, Record<string, unknown>, files: [string, string][], kind: string, odd: string | null]
  >([
    ['bytes', {}, [], 'bytes', null],
    [
      'nothing',
      { vocab_size: 300, embedding_size: 300 },
      [],
      'missing',
      'there is no tokenizer.json and vocab_size is 300',
    ],
    ['rubbish', {}, [['tokenizer.json', '{']], 'invalid', 'tokenizer.json'],
  ])('name the tokenizer: %s', async (_, settings, files, kind, odd) => {
    const facts = await factsOf({ ...V2, ...settings }, files);
    expect(facts.tokenizer).toBe(kind);
    const texts = facts.oddities.map(({ text }) => text).filter((text) => text.includes('tokenizer.json'));
    expect(texts).toEqual(odd === null ? [] : [expect.stringContaining(odd)]);
  });

  it('read the Tucker vectors', async () => {
    const directory = await directoryOf(V2, [], /tucker_core_[uv]$/);
    const { oddities } = await inspectFacts(directory, await openCheckpoint(directory, { parts: 'all' }));
    expect(oddities).toContainEqual({
      kind: 'warning',
      text: expect.stringContaining('are zero in memory layer 0, 1, 2: not one training step'),
    });
  });
});

describe('facts as text', () => {
  it('has what a reader asks for, in short lines', async () => {
    const text = inspectText(await factsOf({ ...V2, mem_insert_way: '0:1/1:2' }));
    expect(text).toMatch(/^model +the-model\n/);
    expect(text).toContain('slots          800 in one table of 800 rows x 16, of which a layer reaches 784');
    expect(text).toMatch(/ 0 +0 +1 +its output is lost\n/);
    expect(text).toMatch(/\nwarning: the output of memory layer 0/);
    expect(text).toMatch(/\d+ parameters, [\d.]+ KiB \(\d+ bytes\)/);
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThan(110);
  });

  it('says when nothing is odd', async () => {
    const facts = await factsOf(
      configOfFlags({
        family: 'v1',
        slots: '100',
        dModel: '32',
        blocks: '4',
        keyWidth: '8',
        valueWidth: '16',
      }),
    );
    expect(inspectText(facts)).toMatch(/nothing odd about it$/);
  });

  it('has no memory part without memory', async () => {
    const text = inspectText(await factsOf({ ...V2, mem_insert_way: 'no_mem' }));
    expect(text).not.toContain('virtual slots');
    expect(text).toContain('note: no memory layers');
  });
});
