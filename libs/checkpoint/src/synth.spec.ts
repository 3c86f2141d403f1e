import { createHash } from 'node:crypto';
import { virtualValueCount } from '@ultramem/ultramem';
import { describe, expect, it } from 'vitest';
import { memoryDirectory } from './memory-directory.ts';
import { type Checkpoint, openCheckpoint } from './open-checkpoint.ts';
import { readFloats, readShuffle } from './read-tensor.ts';
import { synthByteCount, synthCheckpoint } from './synth.ts';
import { tuckerVectors } from './tucker-vectors.ts';

const DENSE = {
  d_model: 64,
  n_heads: 4,
  n_layers: 3,
  mlp_hidden_size: 64,
  vocab_size: 90,
  embedding_size: 96,
};
const CONFIGS: Record<string, Record<string, unknown>> = {
  v1: {
    ...DENSE,
    rope: true,
    mem_type: 'ultramem_v1',
    mem_insert_way: '0:1/2:2',
    mem_knum: 40,
    mem_kdim: 16,
    mem_vdim: 32,
    mem_head: 2,
  },
  v2: {
    ...DENSE,
    mem_type: 'ultramem_v2',
    mem_knum: 24,
    mem_kdim: 16,
    mem_vdim: 32,
    mem_pre_vdim: 8,
    mem_key_expand_time: 2,
    attention_layer_norm: true,
    weight_tying: false,
  },
  'v2 without pre-values': {
    ...DENSE,
    alibi: true,
    activation_type: 'gelu',
    mem_knum: 24,
    mem_kdim: 16,
    mem_vdim: 32,
    mem_pre_vdim: 0,
    include_bias: false,
    embedding_layer_norm: true,
  },
  'memory+': {
    ...DENSE,
    layer_norm_type: 'rms',
    mem_type: 'memory_plus',
    mem_insert_way: '1:1',
    mem_knum: 24,
    mem_kdim: 16,
    mem_vdim: 64,
    mem_head: 3,
  },
  'no memory': { ...DENSE, mem_insert_way: 'no_mem', layer_norm_with_affine: false },
  'memory+ without layers': {
    ...DENSE,
    mem_type: 'memory_plus',
    mem_insert_way: 'no_mem',
    mem_vdim: 64,
    mem_knum: 5,
  },
};

describe.each(Object.entries(CONFIGS))('synthCheckpoint, %s', (_name, config) => {
  it.each(['F32', 'BF16'] as const)('writes a checkpoint that opens, in %s', async (dtype) => {
    const file = await synth(config, 3, dtype);
    expect(file.length).toBe(synthByteCount(config, dtype));
    const checkpoint = await open(config, file);
    expect(checkpoint.unexpected).toEqual([]);
    for (const tensor of checkpoint.tensors.values()) {
      if (tensor.dtype === 'I64') continue;
      const floats = await readFloats(tensor);
      expect(floats.every(Number.isFinite)).toBe(true);
      if (tensor.shape.length === 1 || tensor.name.includes('tucker_core')) expect(tensor.dtype).toBe('F32');
      else expect(tensor.dtype).toBe(dtype);
    }
    expect(Buffer.compare(await synth(config, 3, dtype), file)).toBe(0);
    expect(Buffer.compare(await synth(config, 4, dtype), file)).not.toBe(0);
  });
});

describe('the weights', () => {
  it('have the deviations of section 12', async () => {
    const checkpoint = await open(CONFIGS.v1!, await synth(CONFIGS.v1!, 1, 'F32'));
    const deviations = {
      keys: 16 ** -0.5,
      'query_proj.weight': 16 ** -0.5,
      'values_proj.weight': 128 ** -0.5,
      values_for_look_up: 0.02,
    };
    for (const [part, std] of Object.entries(deviations)) {
      const floats = await readFloats(checkpoint.tensor(`transformer.mem_blocks.1.${part}`));
      const found = Math.sqrt(floats.reduce((sum, value) => sum + value * value, 0) / floats.length);
      expect(found / std).toBeGreaterThan(0.93);
      expect(found / std).toBeLessThan(1.07);
    }
    const norm = await readFloats(checkpoint.tensor('transformer.mem_blocks.0.keys_norm.weight'));
    expect(norm[0]).toBeCloseTo(16 ** -0.33);
  });

  it('are normal, in every piece of a table', async () => {
    const config = { ...CONFIGS.v2!, mem_knum: 150, mem_vdim: 64, n_layers: 4 };
    const checkpoint = await open(config, await synth(config, 2, 'F32'));
    const table = await readFloats(checkpoint.tensor('transformer.full_memory_layer.values_for_look_up'));
    expect(table.byteLength).toBeGreaterThan(16 * 2 ** 20);
    for (let piece = 0; piece < table.length; piece += 2 ** 21) {
      const values = table.subarray(piece, piece + 2 ** 21);
      const share = (limit: number) =>
        values.filter((x) => Math.abs(x) < limit * 0.02).length / values.length;
      expect(values.reduce((sum, x) => sum + x, 0) / values.length / 0.02).toBeCloseTo(0, 1);
      expect(share(1)).toBeCloseTo(0.6827, 2);
      expect(share(2)).toBeCloseTo(0.9545, 2);
      expect(share(3)).toBeCloseTo(0.9973, 3);
    }
  });

  // Equal seeds give equal bytes also elsewhere and next year: a change here is a change that users notice.
  it.each([
    ['v1', 'F32', 'c0b9fdc51bf480da33b1d11daa73257ecfacd173b7bb8013b8feb8a841e023ad'],
    ['v2', 'BF16', 'f7471c731798e05e5d8401232f8c78563e17e0622842b6afe537e93219ace612'],
    ['memory+', 'BF16', 'cf780e1e4dace45754800f4195e73228d11e904876d01ced41b924d1620520a1'],
  ] as const)('have known bytes: %s, %s', async (name, dtype, digest) => {
    const file = await synth(CONFIGS[name], 7, dtype);
    const headerBytes = 8 + Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
    expect(createHash('sha256').update(file.subarray(headerBytes)).digest('hex')).toBe(digest);
  });

  it('have tables of which no two rows are equal, also in BF16', async () => {
    const checkpoint = await open(CONFIGS.v2!, await synth(CONFIGS.v2!, 1, 'BF16'));
    const table = checkpoint.tensor('transformer.full_memory_layer.pre_values_for_look_up');
    const [rows, width] = table.shape as [number, number];
    const floats = await readFloats(table);
    const seen = new Set(
      Array.from({ length: rows }, (_, row) => floats.slice(row * width, (row + 1) * width).join()),
    );
    expect(seen.size).toBe(rows);
  });

  it.each(['F32', 'BF16'] as const)(
    'keep rows apart and distributed alike beyond the first 8 MiB, in %s',
    async (dtype) => {
      const config = { ...CONFIGS.v2!, mem_knum: 200, mem_vdim: 64, mem_pre_vdim: 4, n_layers: 4 };
      const checkpoint = await open(config, await synth(config, 1, dtype));
      for (const part of ['values_for_look_up', 'pre_values_for_look_up']) {
        const table = checkpoint.tensor(`transformer.full_memory_layer.${part}`);
        const [rows, width] = table.shape as [number, number];
        const floats = await readFloats(table);
        if (part === 'values_for_look_up')
          expect(floats.length).toBeGreaterThan((2 * 8 * 2 ** 20) / (dtype === 'F32' ? 4 : 2));
        const seen = new Set<string>();
        for (let row = 0; row < rows; row++) seen.add(floats.subarray(row * width, row * width + 8).join());
        // Four bf16 numbers out of a few hundred common ones may fall together by chance.
        expect(seen.size).toBeGreaterThan(rows - (width < 8 ? 3 : 1));
        const std = (from: number, to: number) =>
          Math.sqrt(floats.subarray(from, to).reduce((sum, x) => sum + x * x, 0) / (to - from));
        expect(std(0, rows * width) / std(0, 10_000)).toBeCloseTo(1, 1);
      }
    },
  );

  it('shuffle by a permutation, another in each layer, and collapse with the u and v of the cores', async () => {
    const checkpoint = await open(CONFIGS.v1!, await synth(CONFIGS.v1!, 1, 'F32'));
    const name = (layer: number, part: string) => `transformer.mem_blocks.${layer}.${part}`;
    const shuffles = [];
    for (const layer of [0, 1]) {
      const stored = checkpoint.tensor(name(layer, 'shuffle_index'));
      shuffles.push(await readShuffle(stored, virtualValueCount(checkpoint.geometry!)));
      const coreSum = await readFloats(checkpoint.tensor(name(layer, 'tucker_core.0')));
      const other = await readFloats(checkpoint.tensor(name(layer, 'tucker_core.1')));
      const row = await readFloats(checkpoint.tensor(name(layer, 'tucker_core_u')));
      const column = await readFloats(checkpoint.tensor(name(layer, 'tucker_core_v')));
      const again = tuckerVectors({
        coreSum: coreSum.map((value, i) => value + other[i]),
        headCount: 2,
        rank: 2,
        previous: { row, column },
      });
      expect([...again.row]).toEqual([...row].map((value) => expect.closeTo(value, 5)));
      expect([...again.column]).toEqual([...column].map((value) => expect.closeTo(value, 5)));
    }
    expect(shuffles[0]).not.toEqual(shuffles[1]);
  });
});

async function synth(config: unknown, seed: number, dtype: 'F32' | 'BF16'): Promise<Buffer> {
  const pieces: Buffer[] = [];
  await synthCheckpoint(
    config,
    { seed, dtype },
    { write: async (bytes) => void pieces.push(Buffer.from(bytes)) },
  );
  return Buffer.concat(pieces);
}

function open(config: unknown, file: Uint8Array): Promise<Checkpoint> {
  const files = new Map<string, string | Uint8Array>([
    ['config.json', JSON.stringify(config)],
    ['model.safetensors', file],
  ]);
  return openCheckpoint(memoryDirectory('synth', files), { parts: 'all' });
}
