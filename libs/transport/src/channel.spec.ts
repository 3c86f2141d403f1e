import { ManualClock } from '@ultramem/environment';
import { AssertionError } from '@ultramem/invariant';
import {
  codedError,
  decode,
  encode,
  type Message,
  type Notice,
  type NoticeKind,
  type RequestKind,
} from '@ultramem/protocol';
import { describe, expect, it } from 'vitest';
import {
  type AnswerBody,
  type Channel,
  type ChannelOptions,
  openChannel,
  type RequestBody,
} from './channel.ts';
import type { Connection } from './connection.ts';
import { createMemoryTransport } from './memory-transport.ts';

describe('a request', () => {
  it('gets its answer, whatever the order of answers', async () => {
    const release: (() => void)[] = [];
    const { client } = await openChannels(async (request) => {
      await new Promise<void>((resolve) => release.push(resolve));
      if (request.kind !== 'tokenize') throw new Error(request.kind);
      return { kind: 'tokens', tokenIds: Uint32Array.of(request.text.length) };
    });
    const answers = ['a', 'bb', 'ccc'].map((text) =>
      client.request({ kind: 'tokenize', text }, { deadlineMs: 100 }),
    );
    await settle();
    expect(client.inFlight).toBe(3);
    for (const answer of release.reverse()) answer();
    const ids = (await Promise.all(answers)).map(({ tokenIds }) => tokenIds[0]);
    expect(ids).toEqual([1, 2, 3]);
    expect(client.inFlight).toBe(0);
  });

  it('carries the remaining time, in whole milliseconds', async () => {
    const seen: number[] = [];
    const { client, clock } = await openChannels(async (request, { deadlineAtMs }) => {
      seen.push(request.deadlineMs, deadlineAtMs);
      return { kind: 'tokens', tokenIds: new Uint32Array(0) };
    });
    await clock.advance(10);
    await client.request({ kind: 'tokenize', text: '' }, { deadlineMs: 7.25 });
    expect(seen).toEqual([8, 18]);
  });

  it('sees the parts before the answer, in order', async () => {
    const { client } = await openChannels(async (_request, { sendPart }) => {
      for (const tokenId of [5, 6, 7]) sendPart({ kind: 'token', sequence: 0, tokenId, text: '' });
      return generatedBody;
    });
    const seen: number[] = [];
    const answer = await client.request(generateBody, {
      deadlineMs: 100,
      onPart: ({ tokenId }) => seen.push(tokenId),
    });
    expect(seen).toEqual([5, 6, 7]);
    expect(answer.kind).toBe('generated');
    await client.request(generateBody, { deadlineMs: 100 });
  });

  it('fails with the code of the peer', async () => {
    const { client } = await openChannels(async () => {
      throw codedError('STALE_EPOCH', `epoch 3; expected 4; ${'x'.repeat(10_000)}`);
    });
    await expect(client.request({ kind: 'status' }, { deadlineMs: 100 })).rejects.toMatchObject({
      code: 'STALE_EPOCH',
      retriable: true,
      message: expect.stringMatching(/^epoch 3; expected 4; x+$/),
    });
    expect(client.isOpen()).toBe(true);
  });

  it('that breaks its grammar is a defect of the caller', async () => {
    const { client } = await openChannels();
    await expect(
      client.request(
        { kind: 'evaluate', contextLength: 0, withMemory: true, tokenIds: new Uint32Array(1) },
        { deadlineMs: 1 },
      ),
    ).rejects.toThrow(AssertionError);
    expect(client.inFlight).toBe(0);
  });
});

describe('giving up', () => {
  it('happens at the deadline, reaches the peer, and a late answer is ignored', async () => {
    const peer = silentPeer();
    const { client, clock } = await openChannels(peer.serve);
    const answer = client.request({ kind: 'heartbeat', echoBytes: 0 }, { deadlineMs: 50 });
    const outcome = expect(answer).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message:
        '"heartbeat" was not answered in time; expected an answer within 50 ms; allow more time or ask for less',
    });
    await clock.advance(49);
    expect(client.inFlight).toBe(1);
    expect(peer.cancelled).toEqual([]);
    await clock.advance(1);
    await outcome;
    expect(peer.cancelled).toEqual([true]);
    peer.answer();
    await settle();
    expect(client.isOpen()).toBe(true);
  });

  it('ignores an answer that crossed the cancel', async () => {
    const { client, raw, clock } = await openRaw();
    const answer = client.request({ kind: 'status' }, { deadlineMs: 1 });
    const outcome = expect(answer).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await clock.advance(1);
    await outcome;
    expect(raw.messages).toEqual([
      { kind: 'status', id: 1, deadlineMs: 1 },
      { kind: 'cancel', id: 1 },
    ]);
    raw.send({ kind: 'failure', id: 1, code: 'CANCELLED', message: '', retriable: false });
    await settle();
    expect(client.isOpen()).toBe(true);
  });

  it('happens at once without time', async () => {
    const { client, raw } = await openRaw();
    await expect(client.request({ kind: 'status' }, { deadlineMs: 0 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    });
    await settle();
    expect(raw.messages).toEqual([]);
  });

  it('happens on a signal', async () => {
    const peer = silentPeer();
    const { client } = await openChannels(peer.serve);
    const abort = new AbortController();
    const answer = client.request({ kind: 'status' }, { deadlineMs: 100, signal: abort.signal });
    await settle();
    abort.abort();
    await expect(answer).rejects.toMatchObject({
      code: 'CANCELLED',
      message: '"status" was given up; expected its caller to wait; ask again if the answer is wanted',
    });
    await settle();
    expect(peer.cancelled).toEqual([true]);
    await expect(
      client.request({ kind: 'status' }, { deadlineMs: 100, signal: abort.signal }),
    ).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('happens when a part cannot be taken', async () => {
    const { client } = await openChannels(async (_request, { sendPart }) => {
      sendPart({ kind: 'token', sequence: 0, tokenId: 1, text: '' });
      return generatedBody;
    });
    const fault = new Error('the caller cannot take it');
    const onPart = (): void => {
      throw fault;
    };
    await expect(client.request(generateBody, { deadlineMs: 100, onPart })).rejects.toBe(fault);
    expect(client.isOpen()).toBe(true);
  });
});

describe('the end of the connection', () => {
  it.each(['client', 'server'] as const)(
    'closed by the %s, rejects what waits and cancels what is served',
    async (side) => {
      const peer = silentPeer();
      const { client, server, closed } = await openChannels(peer.serve);
      const answer = client.request({ kind: 'status' }, { deadlineMs: 100 });
      await settle();
      (side === 'client' ? client : server).close('maintenance');
      await expect(answer).rejects.toMatchObject({
        code: 'CONNECTION_LOST',
        retriable: true,
        message:
          'the connection ended (maintenance) before "status" was answered; expected an answer; try again',
      });
      await settle();
      expect(closed.sort()).toEqual(['client: maintenance', 'server: maintenance']);
      expect(peer.cancelled).toEqual([true]);
      expect([client.isOpen(), server.isOpen()]).toEqual([false, false]);
      await expect(client.request({ kind: 'status' }, { deadlineMs: 100 })).rejects.toMatchObject({
        code: 'CONNECTION_LOST',
      });
      client.notify({ kind: 'leave', reason: 'too late' });
      peer.answer();
      await settle();
    },
  );
});

describe('notices', () => {
  it('arrive when accepted, and failures without id always do', async () => {
    const { client, notices } = await openChannels();
    const leave: Notice = { kind: 'leave', reason: 'tired' };
    const failure: Notice = {
      kind: 'failure',
      id: null,
      code: 'INTERNAL',
      message: 'a; b; c',
      retriable: false,
    };
    client.notify(leave);
    client.notify(failure);
    await settle();
    expect(notices).toEqual([leave, failure]);
    expect(client.sentBytes).toBeGreaterThan(0);
    expect(client.receivedBytes).toBe(0);
  });

  it('that are refused with a code end the connection with it', async () => {
    const { client, raw } = await openRaw({
      onNotice: () => {
        throw codedError('UNAUTHORIZED', 'the token is wrong; expected the right one; look it up');
      },
    });
    raw.send({ kind: 'leave', reason: '' });
    await settle();
    expect(raw.messages).toEqual([
      {
        kind: 'failure',
        id: null,
        code: 'UNAUTHORIZED',
        message: 'the token is wrong; expected the right one; look it up',
        retriable: false,
      },
    ]);
    expect(client.isOpen()).toBe(false);
  });
});

describe('a peer that breaks the rules hears why and is cut off', () => {
  it.each<[string, string, (send: (message: Message | Uint8Array) => void) => void]>([
    ['by garbage', 'MALFORMED_MESSAGE', (send) => send(Uint8Array.of(1, 2, 3))],
    [
      'by a first message that is too large',
      'MESSAGE_TOO_LARGE',
      (send) => send({ kind: 'leave', reason: 'x'.repeat(1000) }),
    ],
    [
      'by a request that has no place',
      'UNEXPECTED_MESSAGE',
      (send) => send({ kind: 'tokenize', id: 1, deadlineMs: 1, text: '' }),
    ],
    [
      'by a notice that has no place',
      'UNEXPECTED_MESSAGE',
      (send) =>
        send({ kind: 'welcome', protocol: 1, software: '', clusterId: '', heartbeatMs: 1, leaseMs: 1 }),
    ],
    [
      'by an answer to nothing',
      'UNEXPECTED_MESSAGE',
      (send) => send({ kind: 'ready', id: 77, epoch: 1, residentBytes: 0 }),
    ],
    [
      'by a failure of nothing',
      'UNEXPECTED_MESSAGE',
      (send) => send({ kind: 'failure', id: 77, code: 'X', message: '', retriable: false }),
    ],
    [
      'by giving up before anything was asked',
      'UNEXPECTED_MESSAGE',
      (send) => send({ kind: 'cancel', id: 1 }),
    ],
    [
      'by a number that is in use',
      'UNEXPECTED_MESSAGE',
      (send) => {
        send({ kind: 'status', id: 5, deadlineMs: 1000 });
        send({ kind: 'status', id: 5, deadlineMs: 1000 });
      },
    ],
  ])('%s', async (_name, code, act) => {
    const { client, raw } = await openRaw({ serve: silentPeer().serve, firstMessageBytesMax: 500 });
    act(raw.send);
    await settle();
    expect(raw.messages).toMatchObject([{ kind: 'failure', id: null, code, retriable: false }]);
    expect(
      raw.messages.map((message) => (message.kind === 'failure' ? message.message.split('; ').length : 0)),
    ).toEqual([3]);
    expect(raw.closedBecause()).toMatch(new RegExp(`^${code}: `));
    expect(client.isOpen()).toBe(false);
    raw.send(Uint8Array.of(9)); // nobody listens any more
    await settle();
    expect(raw.messages).toHaveLength(1);
  });

  it('by an answer of the wrong kind', async () => {
    const { client, raw } = await openRaw();
    const answer = client.request({ kind: 'status' }, { deadlineMs: 100 });
    const other = client.request({ kind: 'heartbeat', echoBytes: 0 }, { deadlineMs: 100 });
    const outcomes = Promise.all([
      expect(answer).rejects.toMatchObject({
        code: 'UNEXPECTED_MESSAGE',
        message: expect.stringContaining('"ready" came for "status"'),
      }),
      expect(other).rejects.toMatchObject({ code: 'CONNECTION_LOST' }),
    ]);
    await settle();
    raw.send({ kind: 'ready', id: 1, epoch: 1, residentBytes: 0 });
    await outcomes;
    await settle();
    expect(raw.messages.at(-1)).toMatchObject({ kind: 'failure', id: null, code: 'UNEXPECTED_MESSAGE' });
    expect(client.isOpen()).toBe(false);
  });

  it('and may be one that answered a large first message', async () => {
    const { client, raw } = await openRaw({ firstMessageBytesMax: 500 });
    raw.send({ kind: 'leave', reason: '' });
    raw.send({ kind: 'leave', reason: 'x'.repeat(1000) });
    await settle();
    expect(client.isOpen()).toBe(true);
  });
});

describe('overload', () => {
  it('refuses more requests than may wait', async () => {
    const { client } = await openChannels(silentPeer().serve);
    const waiting = Array.from({ length: 1024 }, () =>
      client.request({ kind: 'status' }, { deadlineMs: 100 }),
    );
    const outcomes = Promise.allSettled(waiting);
    await expect(client.request({ kind: 'status' }, { deadlineMs: 100 })).rejects.toMatchObject({
      code: 'OVERLOADED',
      retriable: true,
      message:
        '1024 requests and 32386 bytes wait on this connection; expected fewer than 1024 and at most 67108864; try again later',
    });
    client.close('enough');
    await outcomes;
  });

  it('refuses to buffer without end', async () => {
    const { client } = await openChannels(silentPeer().serve);
    const large = client.request(
      { kind: 'evaluate', contextLength: 2, withMemory: true, tokenIds: new Uint32Array(17 * 2 ** 20) },
      { deadlineMs: 100 },
    );
    const outcome = expect(large).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    await expect(client.request({ kind: 'status' }, { deadlineMs: 100 })).rejects.toMatchObject({
      code: 'OVERLOADED',
    });
    client.close('enough');
    await outcome;
  });

  it('refuses to serve more than may wait', async () => {
    const { client, raw } = await openRaw({ serve: silentPeer().serve });
    for (let id = 0; id <= 1024; id++) raw.send({ kind: 'status', id, deadlineMs: 1000 });
    await settle();
    expect(raw.messages).toMatchObject([{ kind: 'failure', id: 1024, code: 'OVERLOADED', retriable: true }]);
    expect(client.isOpen()).toBe(true);
  });
});

describe('a peer that does not read', () => {
  it('is told so, then hung up on', () => {
    const unread = unreadConnection();
    const channel = serveOver(unread, silentPeer().serve);
    unread.bufferedBytes = 64 * 2 ** 20 + 1;
    for (let id = 1; id <= 1024; id++) unread.receive({ kind: 'status', id, deadlineMs: 1 });
    expect(unread.sent).toHaveLength(1024);
    expect(unread.sent.at(-1)).toMatchObject({ kind: 'failure', id: 1024, code: 'OVERLOADED' });
    expect(channel.isOpen()).toBe(true);
    unread.receive({ kind: 'status', id: 1025, deadlineMs: 1 });
    expect(unread.sent.at(-1)).toMatchObject({ kind: 'failure', id: null, code: 'OVERLOADED' });
    expect(channel.isOpen()).toBe(false);
  });

  it('is served again once it has read', () => {
    const unread = unreadConnection();
    const channel = serveOver(unread, silentPeer().serve);
    for (let id = 1; id <= 3000; id++) {
      unread.bufferedBytes = id % 1000 === 0 ? 0 : 2 ** 27;
      unread.receive({ kind: 'status', id, deadlineMs: 1 });
    }
    expect(channel.isOpen()).toBe(true);
    expect(unread.sent).toHaveLength(2997);
  });

  it('gets no more parts', async () => {
    const unread = unreadConnection();
    serveOver(unread, async (_request, { sendPart }) => {
      for (;;) {
        sendPart({ kind: 'token', sequence: 0, tokenId: 0, text: '' });
        unread.bufferedBytes += 2 ** 20;
      }
    });
    unread.receive({ ...generateBody, id: 3, deadlineMs: 100 });
    await settle();
    expect(unread.sent).toHaveLength(66);
    expect(unread.sent.at(-1)).toMatchObject({ kind: 'failure', id: 3, code: 'OVERLOADED' });
  });
});

describe('a defect', () => {
  it.each<[string, ChannelOptions['serve']]>([
    ['an unknown error', async () => Promise.reject(new Error('a secret of this machine'))],
    ['an answer of the wrong kind', async () => ({ kind: 'ready', epoch: 1, residentBytes: 0 })],
    [
      'a part of the wrong kind',
      async (_request, { sendPart }) => {
        sendPart({ kind: 'token', sequence: 0, tokenId: 0, text: '' });
        return generatedBody;
      },
    ],
  ])('%s is INTERNAL for the peer and told to the owner', async (_name, serve) => {
    const { client, defects } = await openChannels(serve);
    await expect(client.request({ kind: 'status' }, { deadlineMs: 100 })).rejects.toMatchObject({
      code: 'INTERNAL',
      message: 'a defect stopped the request; expected an answer; read the log of the other side',
    });
    expect(defects).toHaveLength(1);
    expect(client.isOpen()).toBe(true);
  });

  it('while a notice is taken ends the connection', async () => {
    const fault = new Error('a bug');
    const defects: unknown[] = [];
    const { client, raw } = await openRaw({
      onNotice: () => {
        throw fault;
      },
      onDefect: (error) => defects.push(error),
    });
    raw.send({ kind: 'leave', reason: '' });
    await settle();
    expect(defects).toEqual([fault]);
    expect(raw.messages).toMatchObject([{ kind: 'failure', id: null, code: 'INTERNAL' }]);
    expect(client.isOpen()).toBe(false);
  });

  it('is not an answer that is too large', async () => {
    const { client, defects } = await openChannels(async () => ({
      kind: 'tokens',
      tokenIds: new Uint32Array(2 ** 26),
    }));
    await expect(client.request({ kind: 'tokenize', text: '' }, { deadlineMs: 100 })).rejects.toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
    });
    expect(defects).toEqual([]);
  });
});

const generateBody: { kind: 'generate' } & RequestBody<'generate'> = {
  kind: 'generate',
  prompts: [{ text: 'hello', ids: null }],
  maxTokens: 3,
  temperature: 0,
  topK: 0,
  topP: 1,
  seed: 1,
  stopAtEos: false,
};
const generatedBody: AnswerBody = {
  kind: 'generated',
  sequences: [{ finish: 'length', tokenCount: 3, rest: '' }],
  elapsedMs: 1,
  lookupMs: 1,
  hiddenFraction: 0,
};
const everything = new Set<RequestKind | NoticeKind>([
  'status',
  'tokenize',
  'generate',
  'heartbeat',
  'evaluate',
  'leave',
]);

async function openChannels(serve: ChannelOptions['serve'] = silentPeer().serve) {
  const clock = new ManualClock();
  const notices: Notice[] = [];
  const defects: unknown[] = [];
  const closed: string[] = [];
  const transport = createMemoryTransport();
  let server: Channel | undefined;
  const options = (connection: Connection, name: string): ChannelOptions => ({
    connection,
    clock,
    accepts: everything,
    serve,
    onNotice: (notice) => notices.push(notice),
    onClose: (reason) => closed.push(`${name}: ${reason}`),
    onDefect: (error) => defects.push(error),
  });
  const { url } = await transport.listen({
    host: '',
    port: 0,
    onConnection: (connection) => {
      server = openChannel(options(connection, 'server'));
    },
  });
  const client = openChannel(options(await transport.connect(url, { timeoutMs: 1 }), 'client'));
  if (server === undefined) throw new Error('nobody was accepted');
  return { client, server, clock, notices, defects, closed };
}

/** A channel whose peer is a bare connection, which may say anything. */
async function openRaw(overrides: Partial<ChannelOptions> = {}) {
  const clock = new ManualClock();
  const messages: Message[] = [];
  let closedBecause: string | null = null;
  let bare: Connection | undefined;
  const transport = createMemoryTransport();
  const { url } = await transport.listen({
    host: '',
    port: 0,
    onConnection: (connection) => {
      bare = connection;
      connection.onMessage = (bytes) => messages.push(decode(bytes));
      connection.onClose = (reason) => {
        closedBecause = reason;
      };
    },
  });
  const client = openChannel({
    connection: await transport.connect(url, { timeoutMs: 1 }),
    clock,
    accepts: new Set<RequestKind | NoticeKind>(['status', 'leave']),
    serve: silentPeer().serve,
    onNotice: () => undefined,
    onClose: () => undefined,
    onDefect: (error) => {
      throw error;
    },
    ...overrides,
  });
  const send = (message: Message | Uint8Array): void =>
    bare?.send(message instanceof Uint8Array ? [message] : encode(message));
  return { client, clock, raw: { messages, send, closedBecause: () => closedBecause } };
}

/** A connection on which nothing leaves: how much waits, the test says. */
function unreadConnection() {
  const sent: Message[] = [];
  const connection = {
    sent,
    bufferedBytes: 0,
    sentBytes: 0,
    receivedBytes: 0,
    peerName: 'unread',
    onMessage: (_bytes: Uint8Array): void => undefined,
    onClose: (_reason: string): void => undefined,
    send: (pieces: readonly Uint8Array[]) =>
      sent.push(decode(new Uint8Array(pieces.flatMap((one) => [...one])))),
    close: () => undefined,
    receive: (message: Message) =>
      connection.onMessage(new Uint8Array(encode(message).flatMap((piece) => [...piece]))),
  };
  return connection;
}

function serveOver(connection: Connection, serve: ChannelOptions['serve']): Channel {
  return openChannel({
    connection,
    clock: new ManualClock(),
    accepts: everything,
    serve,
    onNotice: () => undefined,
    onClose: () => undefined,
    onDefect: (error) => {
      throw error;
    },
  });
}

/** Answers only when told to, and notes which requests were cancelled. */
function silentPeer() {
  const cancelled: boolean[] = [];
  const answers: (() => void)[] = [];
  const serve: ChannelOptions['serve'] = async (_request, context) => {
    context.onCancel(() => cancelled.push(context.isCancelled()));
    await new Promise<void>((resolve) => answers.push(resolve));
    context.onCancel(() => undefined);
    return {
      kind: 'pulse',
      state: 'ready',
      epoch: 1,
      lookups: 0,
      rowsRead: 0,
      residentBytes: 0,
      processBytes: 0,
      loopDelayP99Ms: null,
      loopDelayMaxMs: null,
      echo: new Uint8Array(0),
    };
  };
  const answer = (): void => {
    for (const resolve of answers.splice(0)) resolve();
  };
  return { serve, cancelled, answer };
}

/** Lets microtasks run out; nothing here waits for anything else. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 200; turn++) await Promise.resolve();
}
