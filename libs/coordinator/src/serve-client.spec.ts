import type { Checkpoint } from '@ultramem/checkpoint';
import { syntheticCheckpoint, V1_MODEL } from '@ultramem/checkpoint/synthetic';
import { ManualClock } from '@ultramem/environment';
import {
  createLocalLookup,
  evaluate,
  generate,
  loadDense,
  loadMemoryLayers,
  type Model,
} from '@ultramem/inference';
import { createReferenceKernels } from '@ultramem/kernels';
import type { Request } from '@ultramem/protocol';
import { loadTokenizer } from '@ultramem/tokenizer';
import type { AnswerBody, RequestBody } from '@ultramem/transport';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  dialClient,
  dialWorker,
  LOOKUP_DEADLINE_MS,
  settle,
  silence,
  startWorld,
  type WorkerScript,
} from '../test/scripted-cluster.ts';

const RUNS_MAX = 64;
const PROMPT = 'ab';
const tokenizer = loadTokenizer({
  tokenizerJson: null,
  tokenizerConfigJson: null,
  vocabSize: V1_MODEL.vocab_size,
});
const asked: { kind: 'generate' } & RequestBody<'generate'> = {
  kind: 'generate',
  prompts: [{ text: PROMPT, ids: null }],
  maxTokens: 4,
  temperature: 0,
  topK: 0,
  topP: 1,
  seed: 0,
  stopAtEos: false,
};

let checkpoint: Checkpoint;
let local: Model;

beforeAll(async () => {
  checkpoint = await syntheticCheckpoint(V1_MODEL, { seed: 1, dtype: 'F32' });
  const kernels = createReferenceKernels();
  const memoryLayers = await loadMemoryLayers(checkpoint, kernels);
  const lookUp = await createLocalLookup({ checkpoint, kernels, memoryLayers });
  local = {
    dense: await loadDense(checkpoint, kernels, () => {}),
    memoryLayers,
    lookUp,
    kernels,
    clock: new ManualClock(),
  };
});

/** A client of a cluster with one worker, which does as the script says. */
async function startServed(script: Partial<WorkerScript> = {}) {
  const world = await startWorld(checkpoint, { workersWanted: 1, tokenizer });
  const worker = await dialWorker(world, { id: 'a', ...script });
  await world.coordinator.whenReady();
  const client = (await dialClient(world)).channel;
  const lookups = () => worker.requests.filter(({ kind }) => kind === 'pool').length;
  return { world, worker, client, lookups };
}

/** Every lookup takes a millisecond of the cluster's clock. */
function slow(clock: () => ManualClock): Partial<WorkerScript> {
  return {
    tamper: async (answer: AnswerBody) => {
      if (answer.kind === 'pooled') await new Promise<void>((resolve) => void clock().after(1, resolve));
      return answer;
    },
  };
}

async function localTokens(maxNewTokens: number): Promise<number[]> {
  const sampling = { temperature: 0, topK: null, topP: 1 };
  const prompts = [tokenizer.encode(PROMPT)];
  const tokenIds: number[] = [];
  for await (const { tokenId } of generate(local, {
    prompts,
    maxNewTokens,
    sampling,
    seed: 0,
    stopAtEos: false,
  }))
    tokenIds.push(tokenId);
  return tokenIds;
}

describe('generate', () => {
  it('sends the tokens of one process, then what it cost', async () => {
    const { client } = await startServed();
    const tokenIds: number[] = [];
    let text = '';
    const answer = await client.request(asked, {
      deadlineMs: 1_000,
      onPart: (part) => {
        tokenIds.push(part.tokenId);
        text += part.text;
      },
    });
    expect(tokenIds).toEqual(await localTokens(4));
    expect(answer).toMatchObject({
      sequences: [{ finish: 'length', tokenCount: 4 }],
      lookupMs: 0,
      hiddenFraction: 1,
    });
    expect(text + answer.sequences[0]?.rest).toBe(tokenizer.decode(tokenIds));
  });

  it('takes token ids as well, and several prompts', async () => {
    const { client } = await startServed();
    const seen: number[][] = [[], []];
    const prompts = [
      { text: null, ids: tokenizer.encode(PROMPT) },
      { text: 'xyz', ids: null },
    ];
    await client.request(
      { ...asked, prompts },
      { deadlineMs: 1_000, onPart: ({ sequence, tokenId }) => seen[sequence]?.push(tokenId) },
    );
    expect(seen[0]).toEqual(await localTokens(4));
    expect(seen[1]).toHaveLength(4);
  });

  it.each([
    [{ maxTokens: 0 }, 'USAGE'],
    [{ temperature: 1e9 }, 'USAGE'],
    [{ prompts: [{ text: null, ids: [9_999] }] }, 'TOKEN_OUT_OF_RANGE'],
    [{ prompts: [{ text: null, ids: [] }] }, 'PROMPT_EMPTY'],
    [{ prompts: [{ text: 'x'.repeat(65), ids: null }] }, 'CONTEXT_TOO_LONG'],
  ])('refuses %j with %s, and goes on', async (changes, code) => {
    const { client } = await startServed();
    await expect(client.request({ ...asked, ...changes }, { deadlineMs: 1_000 })).rejects.toMatchObject({
      code,
    });
    expect((await client.request(asked, { deadlineMs: 1_000 })).kind).toBe('generated');
  });

  it('stops computing when the client gives up', async () => {
    const { client, lookups } = await startServed();
    const abort = new AbortController();
    const options = { deadlineMs: 1_000, signal: abort.signal, onPart: () => abort.abort() };
    await expect(client.request({ ...asked, maxTokens: 50 }, options)).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    await settle();
    expect(lookups()).toBeLessThan(5);
    await client.request(asked, { deadlineMs: 1_000 }); // the run has been given back
  });

  it('stops computing when the connection ends', async () => {
    const { client, lookups } = await startServed();
    const answer = client.request(
      { ...asked, maxTokens: 50 },
      { deadlineMs: 1_000, onPart: () => client.close('bye') },
    );
    await expect(answer).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    await settle();
    expect(lookups()).toBeLessThan(5);
  });

  it('ends at its deadline, here and there', async () => {
    const clock = new ManualClock();
    const world = await startWorld(checkpoint, { workersWanted: 1, tokenizer, clock });
    const worker = await dialWorker(world, { id: 'a', ...slow(() => clock) });
    const { channel } = await dialClient(world);
    const parts: number[] = [];
    const outcome = expect(
      channel.request(
        { ...asked, maxTokens: 50 },
        { deadlineMs: 10, onPart: ({ tokenId }) => parts.push(tokenId) },
      ),
    ).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await advance(clock, 30);
    await outcome;
    expect(parts.length).toBeGreaterThan(5);
    expect(worker.requests.filter(({ kind }) => kind === 'pool').length).toBeLessThan(12);
  });

  it('ends at its deadline also for a client that is frozen and gives nothing up', async () => {
    const clock = new ManualClock();
    const world = await startWorld(checkpoint, { workersWanted: 1, tokenizer, clock });
    const worker = await dialWorker(world, { id: 'a', ...slow(() => clock) });
    const { channel } = await dialClient(world, new ManualClock());
    const outcome = expect(
      channel.request({ ...asked, maxTokens: 50 }, { deadlineMs: 10 }),
    ).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: expect.stringMatching(/^the answer took longer than its deadline; .*; .*$/),
    });
    await advance(clock, 30);
    await outcome;
    expect(worker.requests.filter(({ kind }) => kind === 'pool').length).toBeLessThan(13);
  });

  it('is refused beyond the limit of runs, until one ends', async () => {
    let serving = false;
    const { world, client } = await startServed({
      serve: ({ kind }: Request) => (kind === 'score' && !serving ? silence() : null),
    });
    const held = Array.from({ length: RUNS_MAX }, () => client.request(asked, { deadlineMs: 1e6 }));
    const outcomes = Promise.allSettled(held);
    await settle();
    await expect(client.request(asked, { deadlineMs: 1_000 })).rejects.toMatchObject({
      code: 'OVERLOADED',
      retriable: true,
    });
    const evaluation = {
      kind: 'evaluate',
      contextLength: 4,
      withMemory: true,
      tokenIds: Uint32Array.of(1, 2),
    } as const;
    await expect(client.request(evaluation, { deadlineMs: 1_000 })).rejects.toMatchObject({
      code: 'OVERLOADED',
    });
    expect(await client.request({ kind: 'tokenize', text: 'a' }, { deadlineMs: 1_000 })).toMatchObject({
      kind: 'tokens',
    });
    serving = true;
    await advance(world.clock, LOOKUP_DEADLINE_MS);
    for (const outcome of await outcomes)
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'DEADLINE_EXCEEDED' } });
    await client.request(asked, { deadlineMs: 1_000 });
  });
});

/** One millisecond at a time, so that what follows from each has happened before the next. */
async function advance(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += ms > 100 ? 1_000 : 1) {
    await clock.advance(ms > 100 ? 1_000 : 1);
    await settle();
  }
}

describe('other requests', () => {
  it('evaluate gives the loss of one process, with the memory and without', async () => {
    const { client } = await startServed();
    const tokenIds = Uint32Array.from(tokenizer.encode('some text'));
    for (const withMemory of [true, false]) {
      const found = await client.request(
        { kind: 'evaluate', contextLength: 4, withMemory, tokenIds },
        { deadlineMs: 1_000 },
      );
      const { lossSum, tokenCount } = await evaluate(local, { tokenIds, contextLength: 4, withMemory });
      expect(found.lossSum).toBeCloseTo(lossSum, 4);
      expect(found.tokenCount).toBe(tokenCount);
    }
  });

  it('evaluate stops when nobody waits', async () => {
    const { client, lookups } = await startServed();
    const abort = new AbortController();
    const tokenIds = new Uint32Array(2_000).fill(97);
    const answer = client.request(
      { kind: 'evaluate', contextLength: 8, withMemory: true, tokenIds },
      { deadlineMs: 1_000, signal: abort.signal },
    );
    const outcome = expect(answer).rejects.toMatchObject({ code: 'CANCELLED' });
    for (let turn = 0; turn < 200 && lookups() === 0; turn++) await Promise.resolve();
    abort.abort();
    await outcome;
    await settle();
    const stopped = lookups();
    await settle();
    expect(lookups()).toBe(stopped);
    expect(stopped).toBeLessThan(2_000 / 8 / 4);
  });

  it('tokenize', async () => {
    const { client } = await startServed();
    const { tokenIds } = await client.request({ kind: 'tokenize', text: 'äb' }, { deadlineMs: 1_000 });
    expect([...tokenIds]).toEqual(tokenizer.encode('äb'));
  });

  it('explain follows one token to the shards that were asked', async () => {
    const { client } = await startServed();
    const answer = await client.request(
      { kind: 'explain', text: PROMPT, position: null, layer: null },
      { deadlineMs: 1_000 },
    );
    expect(answer).toMatchObject({
      token: { position: 1, text: 'b' },
      layer: { number: 0, readBlock: 0, writeBlock: 1 },
      partition: 'slots',
      scoredBy: 'workers',
    });
    const [head] = answer.heads;
    expect(head?.winners).toHaveLength(2);
    for (const { virtualIndex, row, column, shard } of head?.winners ?? []) {
      expect(virtualIndex).toBe(8 * row + column);
      expect(shard).toBe(0);
      expect(head?.rows.map(({ index }) => index)).toContain(row);
      expect(head?.columns.map(({ index }) => index)).toContain(column);
    }
    expect(answer.phases.map(({ name }) => name)).toEqual(['select (workers)', 'route', 'pool', 'merge']);
    expect(answer.shards).toMatchObject([{ shard: 0, workerId: 'a', slots: 2 }]);
  });

  it.each([
    [{ position: 2 }, 'TOKEN_OUT_OF_RANGE', 'position 2 is not in the text of 2 tokens; expected 0 to 1'],
    [{ layer: 1 }, 'TOKEN_OUT_OF_RANGE', 'memory layer 1 is not in the model; expected 0 to 0'],
    [{ text: '' }, 'PROMPT_EMPTY', 'the text has no tokens'],
  ])('explain refuses %j', async (changes, code, message) => {
    const { client } = await startServed();
    const request = { kind: 'explain', text: PROMPT, position: null, layer: null, ...changes } as const;
    await expect(client.request(request, { deadlineMs: 1_000 })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  it('status counts lookups and runs', async () => {
    const { client } = await startServed();
    expect((await client.request({ kind: 'status' }, { deadlineMs: 1_000 })).cluster).toMatchObject({
      state: 'ready',
      lookups: 0,
      lookupP50Ms: null,
      hiddenFraction: null,
    });
    await client.request(asked, { deadlineMs: 1_000 });
    const { cluster, workers } = await client.request({ kind: 'status' }, { deadlineMs: 1_000 });
    expect(cluster).toMatchObject({ lookups: 4, lookupP50Ms: 0, model: 'synthetic', clusterId: 'test' });
    expect(workers).toMatchObject([{ workerId: 'a', p50Ms: 0, silentMs: 0 }]);
  });

  it('are refused by a coordinator that serves only its memory', async () => {
    const world = await startWorld(checkpoint, { workersWanted: 1 });
    const { channel } = await dialClient(world);
    await expect(channel.request({ kind: 'status' }, { deadlineMs: 1_000 })).rejects.toMatchObject({
      code: 'UNEXPECTED_MESSAGE',
      message: expect.stringContaining('serves no model'),
    });
  });

  it('say what is missing while the cluster is not ready', async () => {
    const world = await startWorld(checkpoint, { workersWanted: 1, tokenizer });
    const { channel } = await dialClient(world);
    for (const request of [asked, { kind: 'explain', text: PROMPT, position: null, layer: null } as const])
      await expect(channel.request(request, { deadlineMs: 1_000 })).rejects.toMatchObject({
        code: 'NOT_READY',
      });
  });
});
