import { readFile } from 'node:fs/promises';
import { OperatingError } from '@ultramem/invariant';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { memoryDirectory } from './memory-directory.ts';
import { type Checkpoint, openCheckpoint } from './open-checkpoint.ts';
import { readFloats } from './read-tensor.ts';
import { openStoredTensors } from './stored-tensors.ts';
import { synthCheckpoint } from './synth.ts';

type Files = Map<string, string | Uint8Array>;
type Tensors = Map<string, { dtype: string; shape: readonly number[]; bytes: Uint8Array }>;

const CONFIG = {
  ...{
    d_model: 8,
    n_heads: 2,
    n_layers: 2,
    mlp_hidden_size: 8,
    vocab_size: 5,
    embedding_size: 6,
    rope: true,
  },
  ...{ mem_type: 'ultramem_v1', mem_insert_way: '0:1', mem_knum: 3, mem_kdim: 4, mem_vdim: 4, mem_knn: 2 },
};

let model: Uint8Array;
let tensors: Tensors;
beforeAll(async () => {
  model = await synth(CONFIG);
  tensors = await unpack(model);
});

describe('openCheckpoint', () => {
  it('opens, reads and closes a small model', async () => {
    const checkpoint = await open(files());
    expect(checkpoint).toMatchObject({
      name: 'dir',
      unexpected: [],
      v1: { rank: 2, coreCount: 2, valueExpand: 4 },
    });
    expect(checkpoint.geometry).toMatchObject({ family: 'ultramem_v1', keyCount: 6, tableRows: 9 });
    expect(checkpoint.tensors.size).toBe(tensors.size);
    expect(checkpoint.has('transformer.wte.weight')).toBe(true);
    expect(checkpoint.has('nothing')).toBe(false);
    const norm = await readFloats(checkpoint.tensor('transformer.ln_f.weight'));
    expect([...norm]).toEqual(Array(8).fill(1));
    await checkpoint.close();
  });

  it('finds the same checkpoint in one file, in two and in another order', async () => {
    const whole = await open(files());
    const reversed = await open(files({ model: pack([...tensors].reverse()) }));
    const split = await open(splitFiles());
    expect(split.tensors.size).toBe(tensors.size);
    expect([reversed.fingerprint, split.fingerprint]).toEqual([whole.fingerprint, whole.fingerprint]);
    expect(whole.fingerprint).toMatch(/^[0-9a-f]{32}$/);
    expect((await open(files(), 'memory')).fingerprint).toBe(whole.fingerprint);
  });

  it('needs no transformer for the memory alone', async () => {
    const memory = files({ model: pack([...tensors].filter(([name]) => name.includes('.mem_blocks.'))) });
    expect((await open(memory, 'memory')).unexpected).toEqual([]);
    await refuses(
      memory,
      'CHECKPOINT_INVALID',
      /of 40 tensors are missing: transformer\.wte\.weight, .*, \.\.\.; expected/,
    );
  });

  it('lists what nobody reads, also of a dtype it cannot use', async () => {
    const more = new Map(tensors);
    more.set('adam.step', { dtype: 'F64', shape: [], bytes: new Uint8Array(8) });
    const checkpoint = await open(files({ model: pack([...more]) }));
    expect(checkpoint.unexpected).toEqual(['adam.step']);
    expect(checkpoint.has('adam.step')).toBe(true);
    expect(() => checkpoint.tensor('adam.step')).toThrow(
      /tensor "adam.step" is F64; expected one of F32, F16, BF16, I64; convert it/,
    );
    expect(() => checkpoint.tensor('other')).toThrow(/dir has no tensor "other"; expected/);
  });

  it('says what is missing', async () => {
    await refuses(
      new Map(),
      'CHECKPOINT_NOT_FOUND',
      /dir has no config.json; expected a directory with config.json and model.safetensors/,
    );
    await refuses(
      new Map([['config.json', '{}']]),
      'CHECKPOINT_NOT_FOUND',
      /dir has neither model.safetensors nor/,
    );
    const some = [...tensors].filter(([name]) => !name.startsWith('transformer.blocks.1.att'));
    await refuses(
      files({ model: pack(some) }),
      'CHECKPOINT_INVALID',
      /dir: 6 of 40 tensors are missing: transformer.blocks.1.att_proj.weight, transformer.blocks.1.att_proj.bias, transformer.blocks.1.attn_out.weight, transformer.blocks.1.attn_out.bias, \.\.\.; expected every/,
    );
    await refuses(files({ model: pack([]) }), 'CHECKPOINT_INVALID', /dir: 40 of 40 tensors are missing/);
  });

  it('refuses bad configurations', async () => {
    await refuses(files({ config: '{' }), 'CONFIG_INVALID', /dir\/config.json is not JSON; expected/);
    await refuses(files({ config: '{"d_modle": 8}' }), 'CONFIG_INVALID', /unknown key "d_modle"/);
    const notText: Files = new Map([
      ['config.json', Uint8Array.of(255)],
      ['model.safetensors', model],
    ]);
    await refuses(notText, 'CHECKPOINT_INVALID', /dir\/config.json is not UTF-8/);
  });

  it('holds shapes and dtypes against the configuration', async () => {
    const wide = JSON.stringify({ ...CONFIG, embedding_size: 7 });
    await refuses(
      files({ config: wide }),
      'CHECKPOINT_INVALID',
      /tensor transformer.wte.weight has the shape \[6, 8\]; expected \[7, 8\] from config.json/,
    );
    const odd = new Map(tensors).set('transformer.ln_f.weight', {
      dtype: 'I32',
      shape: [8],
      bytes: new Uint8Array(32),
    });
    await refuses(
      files({ model: pack([...odd]) }),
      'CHECKPOINT_INVALID',
      /tensor transformer.ln_f.weight is I32; expected F32 or F16 or BF16/,
    );
    const flat = new Map(tensors).set('transformer.mem_blocks.0.shuffle_index', {
      dtype: 'F32',
      shape: [36],
      bytes: new Uint8Array(144),
    });
    await refuses(
      files({ model: pack([...flat]) }),
      'CHECKPOINT_INVALID',
      /shuffle_index is F32; expected I64/,
    );
  });

  it('refuses v1 shapes that give no constants', async () => {
    const keys = { dtype: 'F32', shape: [1, 2, 6, 4], bytes: new Uint8Array(192) };
    const flat = new Map(tensors).set('transformer.mem_blocks.0.keys', keys);
    await refuses(
      files({ model: pack([...flat]) }),
      'CHECKPOINT_INVALID',
      /mem_blocks.0.keys has the shape \[1, 2, 6, 4\]; expected \[heads, 2, keys, mem_kdim, rank\]/,
    );
    const projection = { dtype: 'F32', shape: [8, 15], bytes: new Uint8Array(480) };
    const uneven = new Map(tensors).set('transformer.mem_blocks.0.values_proj.weight', projection);
    await refuses(
      files({ model: pack([...uneven]) }),
      'CHECKPOINT_INVALID',
      /values_proj.weight has the shape \[8, 15\]; expected \[d_model, a multiple of mem_vdim = 4\]/,
    );
  });
});

describe('model.safetensors.index.json', () => {
  it.each([
    ['[', /index.json is not JSON/],
    ['{}', /has no weight_map/],
    ['{"weight_map": []}', /has no weight_map/],
    [
      '{"weight_map": {"a": "../a.safetensors"}}',
      /places tensor "a" in "..\/a.safetensors"; expected the name of a file/,
    ],
    ['{"weight_map": {"a": 1}}', /places tensor "a" in 1; expected/],
    [
      '{"weight_map": {"a": "missing.safetensors"}}',
      /names the file "missing.safetensors", which is missing/,
    ],
  ])('%s', async (index, message) => {
    await refuses(
      new Map([
        ['config.json', JSON.stringify(CONFIG)],
        ['model.safetensors.index.json', index],
      ]),
      'CHECKPOINT_INVALID',
      message,
    );
  });

  it('refuses a map that disagrees with the files', async () => {
    const swapped = splitFiles((map) => {
      map['transformer.wte.weight'] = 'b.safetensors';
    });
    await refuses(
      swapped,
      'CHECKPOINT_INVALID',
      /a.safetensors holds tensor "transformer.wte.weight", which dir.*index.json does not place there/,
    );
    const unlisted = splitFiles((map) => {
      delete map['transformer.wte.weight'];
    });
    await refuses(unlisted, 'CHECKPOINT_INVALID', /holds tensor "transformer.wte.weight", which/);
    const invented = splitFiles((map) => {
      map['transformer.other'] = 'a.safetensors';
    });
    await refuses(
      invented,
      'CHECKPOINT_INVALID',
      /places tensor "transformer.other" in "a.safetensors", which does not hold it/,
    );
  });
});

describe('files from the reference', () => {
  it.each(['model_v1', 'model_v1_collide', 'model_v2', 'model_v2_q0', 'model_mp'])(
    'opens %s',
    async (name) => {
      const checkpoint = await open(await modelFiles(`test/vectors/${name}`));
      expect(checkpoint.unexpected).toEqual([]);
      expect(checkpoint.geometry!.layerCount).toBe(
        [...checkpoint.tensors.keys()].filter((tensor) => tensor.endsWith('.keys')).length,
      );
      for (const tensor of checkpoint.tensors.values())
        if (tensor.dtype !== 'I64') expect((await readFloats(tensor)).every(Number.isFinite)).toBe(true);
    },
  );

  it('opens the demo model', async () => {
    const checkpoint = await open(await modelFiles('apps/cli/demo-model'));
    expect(checkpoint.unexpected).toEqual([]);
    expect(checkpoint.tensor('transformer.mem_blocks.1.values_for_look_up')).toMatchObject({
      shape: [16384, 64],
    });
  });

  it.each(['v2_a', 'v2_b', 'v2_c', 'v2_d', 'v2_e', 'v2_f', 'mp_a', 'mp_b'])(
    'opens the memory of layer file %s',
    async (name) => {
      const bytes = await readFile(new URL(`../../../test/vectors/${name}.safetensors`, import.meta.url));
      // Settings of the transformer that the file does not hold may contradict each other.
      const config = JSON.stringify({ ...JSON.parse(metadataOf(bytes).model_config!), n_heads: 1 });
      const checkpoint = await open(
        new Map<string, string | Uint8Array>([
          ['config.json', config],
          ['model.safetensors', bytes],
        ]),
        'memory',
      );
      expect(checkpoint.unexpected.every((tensor) => tensor.startsWith('vec.'))).toBe(true);
    },
  );

  it.each([
    ['v1_a', { rank: 2, coreCount: 1, valueExpand: 1 }],
    ['v1_b', { rank: 2, coreCount: 2, valueExpand: 4 }],
    ['v1_c', null],
    ['v1_d', null],
  ])('takes the constants of %s from its shapes', async (name, constants) => {
    const bytes = await readFile(new URL(`../../../test/vectors/${name}.safetensors`, import.meta.url));
    const { model_config, ctor } = metadataOf(bytes);
    const layer = JSON.parse(ctor!) as Record<string, number>;
    const config = {
      ...JSON.parse(model_config!),
      ...{
        d_model: layer.hidden_size,
        n_heads: 1,
        mem_knum: layer.knum,
        mem_kdim: layer.kdim,
        mem_vdim: layer.vdim,
      },
      ...{ mem_knn: layer.knn, mem_head: layer.head, mem_insert_way: '0:0' },
    };
    const prefixed = [...(await unpack(bytes))].filter(([tensor]) => !tensor.startsWith('vec.'));
    const packed = pack(prefixed.map(([tensor, content]) => [`transformer.mem_blocks.0.${tensor}`, content]));
    const checkpoint = await open(
      new Map<string, string | Uint8Array>([
        ['config.json', JSON.stringify(config)],
        ['model.safetensors', packed],
      ]),
      'memory',
    );
    expect(checkpoint.v1).toEqual({
      rank: layer.tucker_rank,
      coreCount: layer.tucker_multihead,
      valueExpand: layer.value_expand_time,
    });
    if (constants !== null) expect(checkpoint.v1).toEqual(constants);
    expect(checkpoint.unexpected).toEqual([]);
  });
});

describe('any change to a file', () => {
  it('opens or gives a coded error, and never shows bytes outside the file', async () => {
    const headerEnd = 8 + Number(new DataView(model.buffer).getBigUint64(0, true));
    const change = fc.record({
      at: fc.integer({ min: 0, max: headerEnd - 1 }),
      byte: fc.integer({ min: 0, max: 255 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { maxLength: 4 }),
        fc.option(fc.nat(model.length)),
        async (changes, cut) => {
          const file = model.slice(0, cut ?? model.length);
          for (const { at, byte } of changes) if (at < file.length) file[at] = byte;
          const result = await open(files({ model: file })).catch((error: unknown) => error);
          if (result instanceof Error) {
            expect(result).toBeInstanceOf(OperatingError);
            return;
          }
          for (const tensor of (result as Checkpoint).tensors.values())
            if (tensor.dtype !== 'I64') await readFloats(tensor);
        },
      ),
      { numRuns: 1500 },
    );
  });

  it('swaps of digits and names in the header too', async () => {
    const text = new TextDecoder().decode(
      model.subarray(8, 8 + Number(new DataView(model.buffer).getBigUint64(0, true))),
    );
    const tokens = text.split(/(\d+|"[^"]*"|[{}[\],:])/);
    const substitute = fc.constantFrom(
      '0',
      '1',
      '-1',
      '1e3',
      '9007199254740993',
      '"F16"',
      '"BF16"',
      'null',
      '',
      ',',
      ']',
      '{}',
      '"shape"',
    );
    const edits = fc.array(fc.tuple(fc.nat(tokens.length - 1), substitute), { minLength: 1, maxLength: 2 });
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(edits, async (list) => {
        const edited = [...tokens];
        for (const [at, by] of list) edited[at] = by;
        const header = new TextEncoder().encode(edited.join(''));
        const data = model.subarray(8 + text.length);
        const file = new Uint8Array(8 + header.length + data.length);
        new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
        file.set(header, 8);
        file.set(data, 8 + header.length);
        const result = await open(files({ model: file })).catch((error: unknown) => error);
        if (result instanceof Error) {
          refused++;
          expect(result).toBeInstanceOf(OperatingError);
        }
      }),
      { numRuns: 1500 },
    );
    expect(refused).toBeGreaterThan(500);
  });
});

function open(content: Files, parts: 'all' | 'memory' = 'all'): Promise<Checkpoint> {
  return openCheckpoint(memoryDirectory('dir', content), { parts });
}

async function refuses(content: Files, code: string, message: RegExp): Promise<void> {
  const error = await open(content).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(OperatingError);
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  expect((error as OperatingError).message.split('; ').length).toBeGreaterThanOrEqual(3);
}

function files(given: { config?: string; model?: Uint8Array } = {}): Files {
  return new Map<string, string | Uint8Array>([
    ['config.json', given.config ?? JSON.stringify(CONFIG)],
    ['model.safetensors', given.model ?? model],
  ]);
}

function splitFiles(edit: (map: Record<string, string>) => void = () => undefined): Files {
  const all = [...tensors];
  const map = Object.fromEntries(
    all.map(([name], i) => [name, i % 2 === 0 ? 'a.safetensors' : 'b.safetensors']),
  );
  map['transformer.wte.weight'] = 'a.safetensors';
  const place = { ...map };
  edit(map);
  return new Map<string, string | Uint8Array>([
    ['config.json', JSON.stringify(CONFIG)],
    ['model.safetensors.index.json', JSON.stringify({ metadata: {}, weight_map: map })],
    ...(['a.safetensors', 'b.safetensors'] as const).map((file): [string, Uint8Array] => [
      file,
      pack(all.filter(([name]) => place[name] === file)),
    ]),
  ]);
}

async function modelFiles(path: string): Promise<Files> {
  const read = (file: string) => readFile(new URL(`../../../${path}/${file}`, import.meta.url));
  return new Map([
    ['config.json', await read('config.json')],
    ['model.safetensors', await read('model.safetensors')],
  ]);
}

async function synth(config: unknown): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  await synthCheckpoint(
    config,
    { seed: 1, dtype: 'F32' },
    { write: async (bytes) => void pieces.push(bytes.slice()) },
  );
  return Uint8Array.from(Buffer.concat(pieces));
}

async function unpack(file: Uint8Array): Promise<Tensors> {
  const stored = await openStoredTensors(memoryDirectory('dir', new Map([['model.safetensors', file]])), []);
  const unpacked: Tensors = new Map();
  for (const [name, { entry, read }] of stored!)
    unpacked.set(name, {
      dtype: entry.dtype,
      shape: entry.shape,
      bytes: await read(0, entry.end - entry.begin),
    });
  return unpacked;
}

function pack(list: [string, { dtype: string; shape: readonly number[]; bytes: Uint8Array }][]): Uint8Array {
  let end = 0;
  const header = Object.fromEntries(
    list.map(([name, { dtype, shape, bytes }]) => {
      const begin = end;
      end += bytes.length;
      return [name, { dtype, shape, data_offsets: [begin, end] }];
    }),
  );
  const text = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  let at = 8 + text.length;
  for (const [, { bytes }] of list) {
    file.set(bytes, at);
    at += bytes.length;
  }
  return file;
}

function metadataOf(file: Uint8Array): Record<string, string> {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  return JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))).__metadata__;
}
