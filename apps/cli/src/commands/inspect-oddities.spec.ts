import { memoryGeometry, parseModelConfig, V1_CONSTANTS, type V1Constants } from '@ultramem/ultramem';
import { describe, expect, it } from 'vitest';
import { findOddities, type Oddity } from './inspect-oddities.ts';

const BASE = {
  ...{ d_model: 32, n_heads: 4, n_layers: 6, vocab_size: 256, embedding_size: 256, eos_token_id: 0 },
  ...{
    attention_dropout: 0,
    residual_dropout: 0,
    embedding_dropout: 0,
    mem_knum: 16,
    mem_kdim: 8,
    mem_vdim: 32,
  },
};
const V1 = { ...BASE, mem_type: 'ultramem_v1', mem_insert_way: '1:2/3:5' };
const V2 = {
  ...BASE,
  mem_type: 'ultramem_v2',
  mem_q_for_each_tucker_rank: true,
  mem_head: 4,
  mem_share_ratio: 0.5,
};
const PLUS = { ...BASE, mem_type: 'memory_plus', mem_insert_way: '1:2/3:5' };

function oddities(
  settings: Record<string, unknown>,
  rest: { unexpected?: string[]; tuckerVectors?: Float32Array[]; v1?: V1Constants } = {},
): Oddity[] {
  const config = parseModelConfig(settings);
  const v1 = rest.v1 ?? V1_CONSTANTS;
  const geometry = memoryGeometry(config, v1);
  return findOddities({ config, settings, geometry, v1, unexpected: [], tuckerVectors: [], ...rest });
}

describe('warnings', () => {
  const few = V1_CONSTANTS;
  it.each<[name: string, Record<string, unknown>, Parameters<typeof oddities>[1], expected: string]>([
    [
      'a collision',
      { ...V1, mem_insert_way: '1:3/3:5' },
      {},
      'memory layer 0 (1:3) is lost: another memory layer reads before block 3',
    ],
    [
      'a target before its source',
      { ...V1, mem_insert_way: '3:2' },
      {},
      '(3:2) is lost: block 2 is over when block 3 is read',
    ],
    ['a target behind the model', { ...V1, mem_insert_way: '3:6' }, {}, '(3:6) is lost: the last block is 5'],
    // n = floor(sqrt(1536 * 0.1)) = 12, so 144 rows a layer and 256 from one window to the next.
    [
      'rows without a window',
      { ...V2, mem_share_ratio: 0.1, mem_knn: 8 },
      {},
      '672 of 1536 rows are in no memory layer',
    ],
    // E = 3: e = 1, so 256 of 768 virtual slots have a key.
    [
      'an expansion that is no square',
      V1,
      { v1: { ...few, valueExpand: 3 } },
      '512 of 768 virtual slots have no key',
    ],
    [
      'no training',
      V1,
      { tuckerVectors: [Float32Array.of(0, 1), Float32Array.of(0, 0)] },
      'are zero in memory layer 1: not one training step',
    ],
    [
      'a bad Tucker vector',
      V1,
      { tuckerVectors: [Float32Array.of(Number.NaN, 1)] },
      'of memory layer 0 holds a value that is not finite',
    ],
    ['a dead query', { ...V2, mem_head: 2 }, {}, 'half of every query_proj is dead'],
    [
      'one query for all ranks',
      { ...V2, mem_head: 2, mem_q_for_each_tucker_rank: false },
      {},
      'crashes with mem_q_for_each_tucker_rank false',
    ],
    [
      'a single winner of Memory+',
      { ...PLUS, mem_head: 1, mem_knn: 1 },
      {},
      'misreads scores with mem_head * mem_knn = 1',
    ],
    ['one tensor too many', V1, { unexpected: ['a'] }, '1 tensor is read by nothing: a'],
    [
      'many tensors too many',
      V1,
      { unexpected: ['a', 'b', 'c', 'd', 'e'] },
      '5 tensors are read by nothing: a, b, c, d, ...',
    ],
  ])('%s', (_, settings, rest, expected) => {
    const warnings = oddities(settings, rest).filter(({ kind }) => kind === 'warning');
    expect(warnings).toEqual([{ kind: 'warning', text: expect.stringContaining(expected) }]);
  });
});

describe('notes', () => {
  it.each<[name: string, Record<string, unknown>, v1: V1Constants, expected: string]>([
    [
      'nothing to shard',
      { ...V1, mem_insert_way: 'no_mem' },
      V1_CONSTANTS,
      'no memory layers (mem_insert_way is no_mem): there',
    ],
    [
      'a table without readers',
      { ...PLUS, mem_insert_way: 'no_mem' },
      V1_CONSTANTS,
      'though a value table is stored',
    ],
    ['keys_norm of Memory+', PLUS, V1_CONSTANTS, 'keys_norm is stored and never used'],
    [
      'windows are squares',
      { ...V2, mem_share_ratio: 1 },
      V1_CONSTANTS,
      'a memory layer reaches 1521 of 1536 rows',
    ],
    [
      'an expansion that v1 ignores',
      { ...V1, mem_value_expand_time: 1 },
      V1_CONSTANTS,
      'mem_value_expand_time 1 is ignored: v1 has 4',
    ],
    [
      'constants of the layer class',
      V1,
      { rank: 3, coreCount: 1, valueExpand: 4 },
      '3 Tucker ranks, 1 cores and 4 virtual blocks',
    ],
    ['padding rows', { ...V1, embedding_size: 300 }, V1_CONSTANTS, 'ids 256 to 299 are no tokens'],
    [
      'an end that never comes',
      { ...V1, eos_token_id: 50256 },
      V1_CONSTANTS,
      'eos_token_id 50256 is beyond the 256 logits',
    ],
    [
      'settings of another family',
      { ...V1, mem_share_ratio: 0.5, mem_use_glu_act: true },
      V1_CONSTANTS,
      'in ultramem_v1: mem_share_ratio 0.5, mem_use_glu_act true',
    ],
    [
      'dead settings',
      { ...V1, mem_final_top_expand_time: 2 },
      V1_CONSTANTS,
      'in any model: mem_final_top_expand_time 2',
    ],
    ['dropout', { ...V1, attention_dropout: 0.1 }, V1_CONSTANTS, 'in training only: attention_dropout 0.1'],
  ])('%s', (_, settings, v1, expected) => {
    expect(oddities(settings, { v1 })).toEqual([{ kind: 'note', text: expect.stringContaining(expected) }]);
  });
});

it('says nothing of a model without oddities, and warnings before notes', () => {
  expect(oddities(V1, { tuckerVectors: [Float32Array.of(1, 1)] })).toEqual([]);
  expect(oddities(V2)).toEqual([]);
  expect(oddities({ ...V1, embedding_size: 300 }, { unexpected: ['a'] }).map(({ kind }) => kind)).toEqual([
    'warning',
    'note',
  ]);
});
