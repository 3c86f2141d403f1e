import { syntheticCheckpoint, V1_MODEL, V2_MODEL } from '@ultramem/checkpoint/synthetic';
import { present } from '@ultramem/invariant';
import { createReferenceKernels } from '@ultramem/kernels';
import type { MessageOfKind } from '@ultramem/protocol';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadShard, type ResidentShard } from './resident-shard.ts';
import { servePool, servePrescore, serveScore } from './serve.ts';

const kernels = createReferenceKernels();
let whole: ResidentShard;
let half: ResidentShard; // of the columns, and without keys
let plain: ResidentShard; // without pre-values

async function resident(config: Record<string, unknown>, changes: Partial<MessageOfKind<'assign'>>) {
  const checkpoint = await syntheticCheckpoint(config, { seed: 1, dtype: 'F32' });
  const { geometry } = checkpoint;
  if (geometry === null) throw new Error('the model has memory');
  const assignment: MessageOfKind<'assign'> = {
    kind: 'assign',
    id: 1,
    deadlineMs: 1,
    epoch: 1,
    shard: 0,
    rows: { start: 0, end: geometry.tableRows },
    columns: { start: 0, end: geometry.valueWidth },
    preColumns: { start: 0, end: geometry.preWidth },
    keys: { start: 0, end: geometry.keyCount },
    ...changes,
  };
  return loadShard(assignment, null, { checkpoint, geometry, kernels, onProgress: () => {} });
}

beforeAll(async () => {
  const left = { start: 0, end: 4 };
  whole = await resident(V2_MODEL, {});
  half = await resident(V2_MODEL, { columns: left, preColumns: left, keys: null });
  plain = await resident(V1_MODEL, {});
});

const head = { id: 1, deadlineMs: 1, epoch: 1, layer: 0, tokenCount: 1 };
const entries = { entryStart: Uint32Array.of(0, 2), slot: Uint32Array.of(3, 5) };
const scoring: MessageOfKind<'score'> = {
  kind: 'score',
  ...head,
  groupCount: 1,
  topK: 2,
  query: new Float32Array(12).fill(1),
};
const prescoring: MessageOfKind<'prescore'> = {
  kind: 'prescore',
  ...head,
  ...entries,
  query: new Float32Array(8).fill(1),
};
const pooling: MessageOfKind<'pool'> = {
  kind: 'pool',
  ...head,
  ...entries,
  blockCount: 1,
  coreCount: 2,
  activation: false,
  encoding: 'f32',
  block: Uint8Array.of(0, 0),
  weight: Float32Array.of(1, 1, 1, 1),
  preQuery: new Float32Array(8).fill(1),
};

describe('what fits is answered:', () => {
  it('score, with the best keys of this shard', async () => {
    const answer = await serveScore(whole, kernels, scoring);
    expect(answer).toMatchObject({ kind: 'candidates', tokenCount: 1, perSide: 2 });
    expect(answer.index).toHaveLength(4);
  });

  it('prescore, whose halves add up to the whole', async () => {
    const { dots } = await servePrescore(whole, kernels, prescoring);
    const part = await servePrescore(half, kernels, { ...prescoring, query: new Float32Array(4).fill(1) });
    const rest = await servePrescore(whole, kernels, {
      ...prescoring,
      query: Float32Array.of(0, 0, 0, 0, 1, 1, 1, 1),
    });
    dots.forEach((dot, i) => void expect(dot).toBeCloseTo((part.dots[i] ?? 0) + (rest.dots[i] ?? 0), 9));
  });

  it('pool, gated by pre-values or with final weights', async () => {
    const gated = await servePool(whole, kernels, pooling);
    const { dots } = await servePrescore(whole, kernels, prescoring);
    const weight = [...Float32Array.from(dots)].flatMap((dot) => [dot, dot]);
    const final = await servePool(whole, kernels, {
      ...pooling,
      weight: Float32Array.from(weight),
      preQuery: new Float32Array(0),
    });
    gated.pooled.forEach((number, i) => void expect(number).toBeCloseTo(final.pooled[i] ?? Number.NaN, 5));
    expect(gated.pooled.some((number) => number !== 0)).toBe(true);
    const columns = await servePool(half, kernels, { ...pooling, preQuery: new Float32Array(0) });
    expect(columns.pooled).toHaveLength(4);
  });

  it.each(['bf16', 'int8'] as const)('pool, rounded to %s', async (encoding) => {
    const { pooled } = await servePool(whole, kernels, pooling);
    const answer = await servePool(whole, kernels, { ...pooling, encoding });
    expect(answer).toMatchObject({ encoding, pooled: new Float32Array(0) });
    const packed = present(await kernels.packVectors(pooled, 8, encoding), 'the numbers are finite');
    expect(answer.packed).toEqual(packed);
  });

  it('pool, as it is where int8 has no place for a number', async () => {
    const request = { ...pooling, weight: new Float32Array(4).fill(Number.POSITIVE_INFINITY) };
    const answer = await servePool(whole, kernels, { ...request, encoding: 'int8' });
    expect(answer.encoding).toBe('f32');
    expect(answer.pooled.some(Number.isFinite)).toBe(false);
    expect(answer.packed).toHaveLength(0);
  });
});

describe('what does not fit is refused, and says why:', () => {
  const refusals: [string, () => Promise<unknown>, string][] = [
    [
      'a layer that is not there',
      () => serveScore(whole, kernels, { ...scoring, layer: 1 }),
      'it asks for memory layer 1; expected 0 to 0',
    ],
    ['score without keys', () => serveScore(half, kernels, scoring), 'this worker holds no keys'],
    [
      'score with other groups',
      () => serveScore(whole, kernels, { ...scoring, groupCount: 2, query: new Float32Array(24) }),
      '24 numbers in 2 groups; expected [1, 1, 2, 6]',
    ],
    [
      'score with another width',
      () => serveScore(whole, kernels, { ...scoring, query: new Float32Array(10) }),
      '10 numbers in 1 groups',
    ],
    [
      'prescore without pre-values',
      () => servePrescore(plain, kernels, prescoring),
      'this worker holds no pre-values',
    ],
    [
      'prescore for other columns',
      () => servePrescore(half, kernels, prescoring),
      'its query has 8 numbers; expected [1, 4]',
    ],
    [
      'pool with other cores',
      () => servePool(whole, kernels, { ...pooling, coreCount: 1 }),
      'it has 1 cores and 1 blocks; expected 2 and 1',
    ],
    [
      'pool with other blocks',
      () => servePool(whole, kernels, { ...pooling, blockCount: 4 }),
      'it has 2 cores and 4 blocks',
    ],
    [
      'pool gated without pre-values',
      () => servePool(plain, kernels, { ...pooling, blockCount: 4 }),
      'its pre-query has 8 numbers',
    ],
    [
      'pool gated with another width',
      () => servePool(whole, kernels, { ...pooling, preQuery: new Float32Array(4) }),
      'its pre-query has 4 numbers; expected [1, 8]',
    ],
    [
      'pool gated by part of the columns',
      () => servePool(half, kernels, { ...pooling, preQuery: new Float32Array(4) }),
      'on a worker with whole rows',
    ],
  ];
  it.each(refusals)('%s', async (_, answer, reason) => {
    await expect(answer()).rejects.toMatchObject({
      code: 'UNEXPECTED_MESSAGE',
      message: expect.stringMatching(
        /^a .*request does not fit the assigned shard: [^;]+; expected [^;]+; [^;]+$/,
      ),
    });
    await expect(answer()).rejects.toThrow(reason);
  });

  it('pool without values', async () => {
    const tables = {
      ...whole.tables,
      layers: whole.tables.layers.map((layer) => ({ ...layer, values: null })),
    };
    await expect(servePool({ ...whole, tables }, kernels, pooling)).rejects.toThrow(
      'this worker holds no values',
    );
  });

  it('more than a message holds, before it is computed', async () => {
    const tokenCount = 2 ** 24;
    const huge = {
      entryStart: new Uint32Array(tokenCount + 1),
      slot: new Uint32Array(0),
      block: new Uint8Array(0),
      weight: new Float32Array(0),
      preQuery: new Float32Array(0),
    };
    await expect(servePool(whole, kernels, { ...pooling, ...huge, tokenCount })).rejects.toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      message: `the answer would have ${tokenCount * 8 * 4} bytes; expected at most 268435456; ask for fewer tokens at a time`,
    });
    const query = new Float32Array(12 * 2 ** 21);
    await expect(
      serveScore(whole, kernels, { ...scoring, tokenCount: 2 ** 21, topK: 99, query }),
    ).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
  });

  it('slots of another shard', async () => {
    const slot = Uint32Array.of(3, 36);
    await expect(servePool(whole, kernels, { ...pooling, slot })).rejects.toMatchObject({
      code: 'SLOT_OUT_OF_RANGE',
    });
    await expect(servePrescore(whole, kernels, { ...prescoring, slot })).rejects.toMatchObject({
      code: 'SLOT_OUT_OF_RANGE',
    });
  });
});
