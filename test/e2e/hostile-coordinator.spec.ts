import type { ChildProgram } from '@ultramem/local-cluster';
import { encode, type Message, type MessageOfKind } from '@ultramem/protocol';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type FakeCoordinator, type FakeSession, startFakeCoordinator, WELCOME } from './fake-coordinator.ts';
import { hostileBytes } from './mutations.ts';
import { expectRightAnswers, peakBytes, startCoordinator, startWorker } from './programs.ts';

const SEED = 20_260_730;
const MIB = 2 ** 20;
// The demo model: 256 keys an axis of width 48 and rank 2, 16384 slots of 64 numbers in 2 cores and 4 blocks, 2 heads, 2 memory layers.
const WHOLE: Message = {
  kind: 'assign',
  id: 1,
  deadlineMs: 10_000,
  epoch: 5,
  shard: 0,
  rows: { start: 0, end: 16_384 },
  columns: { start: 0, end: 64 },
  preColumns: { start: 0, end: 0 },
  keys: { start: 0, end: 256 },
};
const PROBE: Message = { kind: 'heartbeat', id: 4_000_000_000, deadlineMs: 1000, echoBytes: 0 };
const CALL = { id: 2, deadlineMs: 1000, epoch: 5, layer: 0, tokenCount: 1 };

function score(fields: Partial<MessageOfKind<'score'>>): Message {
  const query = new Float32Array(2 * 48);
  return { kind: 'score', ...CALL, groupCount: 1, topK: 16, query, ...fields };
}

function pool(fields: Partial<MessageOfKind<'pool'>>): Message {
  return {
    kind: 'pool',
    ...CALL,
    blockCount: 4,
    coreCount: 2,
    activation: false,
    encoding: 'f32',
    entryStart: Uint32Array.of(0, 1),
    slot: Uint32Array.of(0),
    block: Uint8Array.of(0),
    weight: Float32Array.of(1, 1),
    preQuery: new Float32Array(0),
    ...fields,
  };
}

const NAN = Number.NaN;
const TOKENS = 20_000_000;

/** Well-formed requests that a worker with the whole table cannot sensibly answer, and what it says. */
const ODD_REQUESTS: readonly { name: string; request: Message; code: string }[] = [
  {
    name: 'a query of NaN',
    request: score({ query: new Float32Array(96).fill(NAN) }),
    code: 'NON_FINITE_SCORE',
  },
  { name: 'no best keys', request: score({ topK: 0 }), code: 'candidates' },
  { name: 'more best keys than keys', request: score({ topK: 2 ** 32 - 1 }), code: 'candidates' },
  { name: 'no tokens', request: score({ tokenCount: 0, query: new Float32Array(0) }), code: 'candidates' },
  { name: 'two groups', request: score({ groupCount: 2 }), code: 'UNEXPECTED_MESSAGE' },
  {
    name: 'a query that is too long',
    request: score({ query: new Float32Array(192) }),
    code: 'UNEXPECTED_MESSAGE',
  },
  { name: 'a layer that is not there', request: score({ layer: 2 ** 32 - 1 }), code: 'UNEXPECTED_MESSAGE' },
  { name: 'another epoch', request: score({ epoch: 4 }), code: 'STALE_EPOCH' },
  {
    name: 'so many tokens that no message holds the answer',
    request: score({ tokenCount: 60_000, topK: 256, query: new Float32Array(60_000 * 96) }),
    code: 'MESSAGE_TOO_LARGE',
  },
  {
    name: 'a slot behind the table',
    request: pool({ slot: Uint32Array.of(16_384) }),
    code: 'SLOT_OUT_OF_RANGE',
  },
  {
    name: 'the last slot of all',
    request: pool({ slot: Uint32Array.of(2 ** 32 - 1) }),
    code: 'SLOT_OUT_OF_RANGE',
  },
  { name: 'a weight of NaN', request: pool({ weight: Float32Array.of(NAN, 1) }), code: 'pooled' },
  { name: 'too many blocks', request: pool({ blockCount: 2 ** 32 - 1 }), code: 'UNEXPECTED_MESSAGE' },
  {
    name: 'one core',
    request: pool({ coreCount: 1, weight: Float32Array.of(1) }),
    code: 'UNEXPECTED_MESSAGE',
  },
  { name: 'a gate', request: pool({ preQuery: Float32Array.of(1) }), code: 'UNEXPECTED_MESSAGE' },
  { name: 'an old epoch', request: pool({ epoch: 0 }), code: 'STALE_EPOCH' },
  {
    name: 'millions of tokens without slots',
    request: pool({
      tokenCount: TOKENS,
      entryStart: new Uint32Array(TOKENS + 1),
      slot: new Uint32Array(0),
      block: new Uint8Array(0),
      weight: new Float32Array(0),
    }),
    code: 'MESSAGE_TOO_LARGE',
  },
  {
    name: 'a dot product without pre-values',
    request: {
      kind: 'prescore',
      ...CALL,
      entryStart: Uint32Array.of(0, 1),
      slot: Uint32Array.of(0),
      query: new Float32Array(8),
    },
    code: 'UNEXPECTED_MESSAGE',
  },
  {
    name: 'rows behind the table',
    request: { ...WHOLE, rows: { start: 0, end: 16_385 } },
    code: 'UNEXPECTED_MESSAGE',
  },
  {
    name: 'absurd columns',
    request: { ...WHOLE, columns: { start: 0, end: 2 ** 53 - 1 } },
    code: 'UNEXPECTED_MESSAGE',
  },
  {
    name: 'pre-value columns',
    request: { ...WHOLE, preColumns: { start: 0, end: 1 } },
    code: 'UNEXPECTED_MESSAGE',
  },
  {
    name: 'keys behind the axis',
    request: { ...WHOLE, keys: { start: 256, end: 257 } },
    code: 'UNEXPECTED_MESSAGE',
  },
  {
    name: 'an empty slice',
    request: {
      ...WHOLE,
      rows: { start: 9, end: 9 },
      columns: { start: 0, end: 0 },
      keys: { start: 3, end: 3 },
    },
    code: 'ready',
  },
];

/** A lease of 2^32 - 1 ms, which `encode` refuses to write. */
const ENDLESS_WELCOME = Buffer.concat(encode({ ...WELCOME, leaseMs: 2 ** 31 - 1 }));
ENDLESS_WELCOME.set([0xff], ENDLESS_WELCOME.indexOf(Buffer.of(0xce, 0x7f, 0xff, 0xff, 0xff)) + 1);

describe('a worker process', () => {
  let fake: FakeCoordinator;
  let worker: ChildProgram;
  let startBytes = 0;
  beforeAll(async () => {
    fake = await startFakeCoordinator();
    worker = startWorker(fake.url, ['--id', 'worker-0']);
  });
  afterAll(async () => {
    await worker?.stop();
    await fake?.close();
  });

  let current: FakeSession | null = null;
  afterEach(() => current?.close('next, please'));
  const accept = async (): Promise<FakeSession> => {
    current = await fake.accept();
    return current;
  };
  const welcomed = async (): Promise<FakeSession> => {
    const session = await accept();
    session.send(WELCOME);
    return session;
  };
  const ready = async (): Promise<FakeSession> => {
    const session = await welcomed();
    session.send(WHOLE);
    expect(await session.next(({ kind }) => kind === 'ready')).toMatchObject({ epoch: 5 });
    return session;
  };

  it('answers or hangs up with a code, whatever a welcomed or ready connection brings', async () => {
    // A failure that is not retriable ends the worker, as it should; see below.
    const payloads = fc.array(hostileBytes(['failure']), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(fc.boolean(), payloads, async (isReady, sent) => {
        const session = await (isReady ? ready() : welcomed());
        for (const bytes of sent) session.sendBytes(bytes);
        session.send(PROBE);
        const pulse = await session.next(
          ({ kind, ...rest }) => kind === 'pulse' && 'id' in rest && rest.id === 4e9,
        );
        if (pulse === null) expect(session.messages.at(-1)).toMatchObject({ kind: 'failure', id: null });
        else session.close('next, please');
        const codes = session.messages.flatMap((message) =>
          message.kind === 'failure' ? [message.code] : [],
        );
        expect(codes).not.toContain('INTERNAL');
      }),
      { seed: SEED, numRuns: 60 },
    );
    startBytes = peakBytes(worker);
  });

  it.each(ODD_REQUESTS)('answers $name', async ({ request, code }) => {
    const session = await ready();
    session.send({ ...request, id: 9 } as Message);
    const answer = await session.next((message) => 'id' in message && message.id === 9);
    expect(answer?.kind === 'failure' ? answer.code : answer?.kind).toBe(code);
    session.send(PROBE);
    expect(await session.next(({ kind }) => kind === 'pulse')).not.toBeNull();
  });

  it('does not grow by what it refused', () => {
    expect(peakBytes(worker) - startBytes).toBeLessThan(400 * MIB);
  });

  it.each<[string, (session: FakeSession) => void, string]>([
    ['two welcomes', (session) => [WELCOME, WELCOME].forEach(session.send), 'UNEXPECTED_MESSAGE'],
    ['a welcome with an endless lease', (session) => session.sendBytes(ENDLESS_WELCOME), 'MALFORMED_MESSAGE'],
    ['a text that is no message', (session) => session.sendBytes(Buffer.from('hello')), 'MALFORMED_MESSAGE'],
    [
      'a question of a client',
      (session) => session.send({ kind: 'status', id: 1, deadlineMs: 9 }),
      'UNEXPECTED_MESSAGE',
    ],
  ])('hangs up on %s', async (_name, act, code) => {
    const session = await accept();
    act(session);
    await session.closed;
    expect(session.messages.at(-1)).toMatchObject({ kind: 'failure', id: null, code });
  });

  it.each<[string, Message[]]>([
    ['an assignment before the welcome', [WHOLE, WELCOME]],
    ['an assignment during another', [WELCOME, WHOLE, { ...WHOLE, id: 2, rows: { start: 0, end: 8 } }]],
  ])('refuses %s', async (_name, sent) => {
    const session = await accept();
    for (const message of sent) session.send(message);
    expect(await session.next(({ kind }) => kind === 'failure')).toMatchObject({
      code: 'UNEXPECTED_MESSAGE',
    });
  });

  it('then serves a real coordinator on the same port', async () => {
    const { port } = new URL(fake.url);
    await fake.close();
    const coordinator = startCoordinator(['--port', port]);
    await coordinator.message('ready');
    await expectRightAnswers(fake.url);
    await coordinator.stop();
  });
});
