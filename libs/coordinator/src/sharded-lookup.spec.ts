import type { Checkpoint } from '@ultramem/checkpoint';
import { syntheticCheckpoint, V1_MODEL, V2_MODEL } from '@ultramem/checkpoint/synthetic';
import { createRandom, ManualClock } from '@ultramem/environment';
import {
  createLocalLookup,
  type LookupRequest,
  loadMemoryLayers,
  type MemoryLookup,
} from '@ultramem/inference';
import { createReferenceKernels } from '@ultramem/kernels';
import { codedError, type Kind } from '@ultramem/protocol';
import type { AnswerBody } from '@ultramem/transport';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  dialWorker,
  LOOKUP_DEADLINE_MS,
  settle,
  silence,
  startWorld,
  type WorkerScript,
} from '../test/scripted-cluster.ts';
import { tokensPerFrame } from './sharded-lookup.ts';

const TOKENS = 3;
let v1: Checkpoint;
let v2: Checkpoint;

beforeAll(async () => {
  [v1, v2] = [
    await syntheticCheckpoint(V1_MODEL, { seed: 1, dtype: 'F32' }),
    await syntheticCheckpoint(V2_MODEL, { seed: 1, dtype: 'F32' }),
  ];
});

async function localLookup(checkpoint: Checkpoint): Promise<MemoryLookup> {
  const kernels = createReferenceKernels();
  return createLocalLookup({
    checkpoint,
    kernels,
    memoryLayers: await loadMemoryLayers(checkpoint, kernels),
  });
}

function randomRequest({ geometry }: Checkpoint): LookupRequest {
  if (geometry === null) throw new Error('these models have memory');
  const random = createRandom(7);
  const normal = (length: number) => Float32Array.from({ length }, () => random.normal());
  return {
    layer: 0,
    tokenCount: TOKENS,
    query: normal(TOKENS * geometry.queryGroupUsed * 2 * geometry.keyWidth),
    preQuery: geometry.preWidth > 0 ? normal(TOKENS * geometry.preWidth) : null,
    explain: true,
  };
}

/** Two workers; the second one, which has shard 1, does as the script says. */
async function startPair(
  checkpoint: Checkpoint,
  script: Partial<WorkerScript> = {},
  options: Partial<Parameters<typeof startWorld>[1]> = {},
) {
  const world = await startWorld(checkpoint, { workersWanted: 2, ...options });
  const honest = await dialWorker(world, { id: 'a' });
  const odd = await dialWorker(world, { id: 'b', ...script });
  await world.coordinator.whenReady();
  const lookUp = () => world.coordinator.lookUp(randomRequest(checkpoint));
  return { world, honest, odd, lookUp };
}

/** Lets the first `kind` of request through to `serve`, and everything else to the honest worker. */
function on(kind: Kind, serve: () => Promise<AnswerBody>): Pick<WorkerScript, 'serve'> {
  return { serve: (request) => (request.kind === kind ? serve() : null) };
}

describe('a lookup', () => {
  it.each([
    { partition: { kind: 'slots' }, model: () => v1 },
    { partition: { kind: 'columns' }, model: () => v1 },
    { partition: { kind: 'slots' }, model: () => v2 },
    { partition: { kind: 'columns' }, model: () => v2 },
  ] as const)('equals one process ($partition.kind)', async ({ partition, model }) => {
    const { lookUp } = await startPair(model(), {}, { partition });
    const expected = await (await localLookup(model()))(randomRequest(model()));
    const found = await lookUp();
    expect(found).toMatchObject({ selection: expected.selection, addresses: expected.addresses });
    for (const [i, number] of found.pooled.entries())
      expect(number).toBeCloseTo(expected.pooled[i] ?? Number.NaN, 5);
  });

  it('goes in rounds that fit a frame, with the same answer', async () => {
    const whole = await startPair(v1);
    const cut = await startPair(v1, {}, { frameBytesMax: 1 });
    expect(await cut.lookUp()).toMatchObject({ pooled: (await whole.lookUp()).pooled });
    const scores = cut.odd.requests.filter(({ kind }) => kind === 'score');
    expect(scores.map((request) => request.kind === 'score' && request.tokenCount)).toEqual([1, 1, 1]);
  });

  it('is refused while workers are missing', async () => {
    const world = await startWorld(v1, { workersWanted: 2 });
    await dialWorker(world, { id: 'a' });
    await expect(world.coordinator.lookUp(randomRequest(v1))).rejects.toMatchObject({ code: 'NOT_READY' });
  });
});

describe('an answer that does not fit', () => {
  const candidates = (change: (answer: Extract<AnswerBody, { kind: 'candidates' }>) => AnswerBody) => ({
    tamper: (answer: AnswerBody) => (answer.kind === 'candidates' ? change(answer) : answer),
  });
  const doubled = (numbers: Float32Array) => Float32Array.from([...numbers, ...numbers]);

  it.each([
    [
      'for fewer tokens',
      candidates((answer) => ({
        ...answer,
        tokenCount: 0,
        index: new Uint32Array(0),
        refined: new Float32Array(0),
      })),
    ],
    [
      'with fewer keys a side',
      candidates((answer) => ({
        ...answer,
        perSide: 1,
        index: answer.index.filter((_, i) => i % 2 === 0),
        refined: answer.refined.filter((_, i) => i % 4 < 2),
      })),
    ],
    [
      'with too few keys',
      candidates((answer) => ({ ...answer, index: new Uint32Array(0), refined: new Float32Array(0) })),
    ],
    ['with more ranks', candidates((answer) => ({ ...answer, refined: doubled(answer.refined) }))],
    ['with keys below its range', candidates((answer) => ({ ...answer, index: answer.index.map(() => 3) }))],
    ['with keys above its range', candidates((answer) => ({ ...answer, index: answer.index.map(() => 8) }))],
  ])('is refused: scores %s', async (_, script) => {
    const { lookUp } = await startPair(v1, script);
    await expect(lookUp()).rejects.toMatchObject({
      code: 'UNEXPECTED_MESSAGE',
      message: expect.stringMatching(/^worker b answered .*; expected .*; .*$/),
    });
  });

  it('is refused: scores that are no numbers', async () => {
    const { lookUp } = await startPair(
      v1,
      candidates((answer) => ({ ...answer, refined: answer.refined.fill(Number.NaN) })),
    );
    await expect(lookUp()).rejects.toMatchObject({ code: 'NON_FINITE_SCORE' });
  });

  it('says how many numbers came and how many should have', async () => {
    const { lookUp } = await startPair(
      v1,
      candidates((answer) => ({ ...answer, refined: doubled(answer.refined) })),
    );
    await expect(lookUp()).rejects.toThrow('answered score with 48 numbers; expected 24');
  });

  it.each([0, 1, 1_000])('is refused: %i pooled numbers', async (length) => {
    const { lookUp } = await startPair(
      v1,
      {
        tamper: (answer) =>
          answer.kind === 'pooled' ? { ...answer, pooled: new Float32Array(length) } : answer,
      },
      { partition: { kind: 'columns' } },
    );
    await expect(lookUp()).rejects.toMatchObject({
      code: 'UNEXPECTED_MESSAGE',
      message: expect.stringContaining(`pool with ${length} numbers`),
    });
  });

  it('is refused: too many dot products', async () => {
    const { lookUp } = await startPair(
      v2,
      { tamper: (answer) => (answer.kind === 'dots' ? { ...answer, dots: new Float64Array(99) } : answer) },
      { partition: { kind: 'columns' } },
    );
    await expect(lookUp()).rejects.toMatchObject({
      code: 'UNEXPECTED_MESSAGE',
      message: expect.stringContaining('prescore with 99 numbers'),
    });
  });
});

describe('a worker that fails', () => {
  it.each(['score', 'pool'] as const)('by being lost during %s is named', async (kind) => {
    const pair = await startPair(v1, on(kind, silence));
    const answer = pair.lookUp();
    const outcome = expect(answer).rejects.toMatchObject({
      code: 'SHARD_UNAVAILABLE',
      retriable: true,
      message: expect.stringMatching(
        new RegExp(`^worker b \\(shard 1: rows 8 to 15, columns 0 to 7\\) was lost during ${kind}; .*; .*$`),
      ),
    });
    await settle();
    pair.odd.channel.close('crashed');
    await outcome;
    await expect(pair.lookUp()).rejects.toMatchObject({
      code: 'SHARD_UNAVAILABLE',
      message: expect.stringContaining('has no worker'),
    });
    await dialWorker(pair.world, { id: 'b', instance: 'b-2' });
    expect((await pair.lookUp()).pooled).toHaveLength(TOKENS * 4 * 8);
  });

  it('by silence lets the lookup fail at its deadline, and the others are told to stop', async () => {
    const { world, lookUp } = await startPair(v1, on('pool', silence));
    const answer = lookUp();
    let settled = false;
    const end = () => {
      settled = true;
    };
    const outcome = expect(answer.finally(end)).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: expect.stringContaining(
        `worker b (shard 1: rows 8 to 15, columns 0 to 7) did not answer pool within ${LOOKUP_DEADLINE_MS} ms`,
      ),
    });
    await settle();
    await world.clock.advance(LOOKUP_DEADLINE_MS - 1);
    expect(settled).toBe(false);
    await world.clock.advance(1);
    await outcome;
  });

  it('has one deadline for all phases', async () => {
    const clock = new ManualClock();
    const script: Partial<WorkerScript> = {
      ...on('pool', silence),
      tamper: async (answer) => {
        if (answer.kind === 'candidates')
          await new Promise<void>((resolve) => void clock.after(6_000, resolve));
        return answer;
      },
    };
    const { lookUp } = await startPair(v1, script, { clock });
    const outcome = expect(lookUp()).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: expect.stringContaining('did not answer pool within 4000 ms'),
    });
    for (const ms of [6_000, 4_000]) {
      await settle();
      await clock.advance(ms);
    }
    await outcome;
  });

  it('with a stale epoch passes its refusal on as retriable, named', async () => {
    const stale = () => Promise.reject(codedError('STALE_EPOCH', 'epoch 3; expected 4; ask again'));
    const { lookUp, odd } = await startPair(v1, on('score', stale));
    await expect(lookUp()).rejects.toMatchObject({
      code: 'STALE_EPOCH',
      retriable: true,
      message: expect.stringContaining('worker b'),
    });
    const [assigned, scored] = odd.requests;
    expect(scored).toMatchObject({
      kind: 'score',
      epoch: assigned?.kind === 'assign' ? assigned.epoch : null,
    });
  });

  it('leaves nothing behind: the next lookup is right', async () => {
    let failures = 2;
    const { lookUp } = await startPair(v1, {
      serve: (request) =>
        request.kind === 'pool' && failures-- > 0
          ? Promise.reject(codedError('OVERLOADED', 'busy; expected less; wait'))
          : null,
    });
    const expected = await (await localLookup(v1))(randomRequest(v1));
    for (let i = 0; i < 2; i++) await expect(lookUp()).rejects.toMatchObject({ code: 'OVERLOADED' });
    expect((await lookUp()).selection).toEqual(expected.selection);
  });
});

describe('tokensPerFrame', () => {
  it('keeps the largest tensor set of any phase below the limit, and lets one token through always', () => {
    const geometry = v1.geometry;
    if (geometry === null) throw new Error('the model has memory');
    const pooledBytes = geometry.poolBlocks * geometry.valueWidth * 4; // the largest here
    expect(tokensPerFrame(geometry, 10 * pooledBytes)).toBe(10);
    expect(tokensPerFrame(geometry, 10 * pooledBytes - 1)).toBe(9);
    expect(tokensPerFrame(geometry, 1)).toBe(1);
  });
});
