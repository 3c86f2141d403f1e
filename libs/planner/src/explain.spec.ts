import type { MemoryGeometry } from '@ultramem/ultramem';
import { expect, it } from 'vitest';
import { explainPlan, planFacts } from './explain.ts';
import { planPartition } from './plan.ts';

/** Two v1 layers with 8 winners per token over tables of 64 x 12. */
const V1: MemoryGeometry = {
  family: 'ultramem_v1',
  layerCount: 2,
  modelWidth: 16,
  headCount: 2,
  topK: 4,
  keyCount: 16,
  keyWidth: 8,
  rank: 2,
  coreCount: 2,
  queryGroupCount: 1,
  queryGroupUsed: 1,
  tableRows: 64,
  windowRows: 64,
  windowStride: 0,
  virtualBlocks: 4,
  poolBlocks: 4,
  valueWidth: 12,
  preWidth: 0,
  preActivation: false,
  sharedTable: false,
};
const plan = planPartition({
  geometry: { ...V1, valueWidth: 2 },
  bytes: { value: 4, pre: 4, denseBytes: 1000 },
  workers: [1, 2, 3, 4].map((i) => ({ id: `worker-${i}`, capacityBytes: 1e5 })),
  partition: 'auto',
  keys: 'coordinator',
  link: { roundTripMs: 1, bytesPerSecond: 1e6 },
  rates: { macsPerSecond: 1e9, rowBytesPerSecond: 1e9 },
});

it('explainPlan compares the partitions and says why', () => {
  const text = explainPlan(plan, { ...V1, valueWidth: 2 });
  expect(text.split('\n')).toEqual([
    '2 memory layers of ultramem_v1, 2 tables of 64 rows x 2 columns, 4 workers',
    '',
    '   partition     keys             memory per worker   out/token    in/token  trips  ms, batch 1  batch 256',
    expect.stringMatching(/^\* {2}slots {9}coordinator +256 B +118 B +115 B +1 +1\.23 +61\.1$/),
    '   columns       coordinator  no: columns has more workers (4) than columns (2)',
    expect.stringMatching(/^ {3}grid:2x2 {6}coordinator +256 B +224 B +63\.8 B +1 +1\.29 +75\.0$/),
    '',
    'chosen: slots with keys coordinator, because lowest predicted time (1.23 ms at batch 1 and 61.1 ms at batch',
    expect.stringMatching(/^256\), \d\.\d\d times as fast as grid:2x2$/),
    'one memory layer, means over layers; keys auto shows trips at both batch sizes and bytes at batch 256',
  ]);
});

it('planFacts is the same for programs', () => {
  const facts = planFacts(plan);
  expect(facts).toMatchObject({ partition: 'slots', keys: 'coordinator', chosenBecause: plan.chosenBecause });
  expect(facts.workers[1]).toEqual({
    worker: 'worker-2',
    shard: 1,
    rows: { start: 16, end: 32 },
    columns: { start: 0, end: 2 },
    preColumns: { start: 0, end: 0 },
    keys: null,
    bytes: 256,
  });
  expect(facts.estimates[1]).toEqual({
    partition: 'columns',
    keys: 'coordinator',
    refusal: 'columns has more workers (4) than columns (2)',
  });
});
