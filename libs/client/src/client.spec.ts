import { ManualClock } from '@ultramem/environment';
import { OperatingError } from '@ultramem/invariant';
import {
  codedError,
  encode,
  type MessageOfKind,
  NAME_LENGTH_MAX,
  type NoticeKind,
  PROMPT_TOKENS_MAX,
  PROMPTS_MAX,
  type Request,
  type RequestKind,
  TEXT_LENGTH_MAX,
  TOKEN_LENGTH_MAX,
} from '@ultramem/protocol';
import {
  type AnswerBody,
  type Channel,
  type Connection,
  createMemoryTransport,
  failureMessage,
  openChannel,
  type RequestContext,
} from '@ultramem/transport';
import { describe, expect, it } from 'vitest';
import { type Client, type ClientOptions, connectClient } from './client.ts';

const generated: Omit<MessageOfKind<'generated'>, 'id'> = {
  kind: 'generated',
  sequences: [{ finish: 'length', tokenCount: 0, rest: '' }],
  elapsedMs: 1,
  lookupMs: 2,
  hiddenFraction: 0.5,
};

interface Peer {
  channel: Channel;
  hello: MessageOfKind<'hello'> | null;
  requests: Request[];
}

type Serve = (request: Request, context: RequestContext) => Promise<AnswerBody>;

/** A coordinator that welcomes everybody and answers with `serve`. */
async function listen(serve: Serve, clock: ManualClock) {
  const transport = createMemoryTransport();
  const peers: Peer[] = [];
  const onConnection = (connection: Connection): void => {
    const peer: Peer = {
      hello: null,
      requests: [],
      channel: openChannel({
        connection,
        clock,
        accepts: new Set<RequestKind | NoticeKind>([
          'hello',
          'generate',
          'evaluate',
          'tokenize',
          'explain',
          'status',
        ]),
        serve: (request, context) => {
          peer.requests.push(request);
          return serve(request, context);
        },
        onNotice: (notice) => {
          if (notice.kind === 'hello') peer.hello = notice;
          peer.channel.notify({
            kind: 'welcome',
            protocol: 1,
            software: '',
            clusterId: '',
            heartbeatMs: 1,
            leaseMs: 1,
          });
        },
        onClose: () => {},
        onDefect: (error) => {
          throw error;
        },
      }),
    };
    peers.push(peer);
  };
  const { url } = await transport.listen({ host: '', port: 0, onConnection });
  return { transport, url, peers };
}

async function connect(serve: Serve = silence, options: Partial<ClientOptions> = {}) {
  const clock = new ManualClock();
  const { transport, url, peers } = await listen(serve, clock);
  const client = await connectClient({
    transport,
    clock,
    url,
    token: 'secret',
    software: 'test/1',
    connectTimeoutMs: 100,
    ...options,
  });
  const [peer] = peers;
  if (peer === undefined) throw new Error('the client has connected');
  return { client, clock, peer };
}

/** Dials something that is no such coordinator. */
async function dial(onConnection: (connection: Connection) => void, options: Partial<ClientOptions> = {}) {
  const clock = new ManualClock();
  const transport = createMemoryTransport();
  const { url } = await transport.listen({ host: '', port: 0, onConnection });
  const connecting = connectClient({
    transport,
    clock,
    url,
    token: null,
    software: 'test/1',
    connectTimeoutMs: 100,
    ...options,
  });
  return {
    clock,
    failure: connecting.then(
      () => null,
      (error: unknown) => error,
    ),
  };
}

function silence(): Promise<never> {
  return new Promise(() => {});
}

const calls: [string, (client: Client) => Promise<unknown>, number][] = [
  ['generate', (client) => client.generate({ prompts: ['a'], maxTokens: 1 }), 600_000],
  [
    'evaluate',
    (client) => client.evaluate({ tokenIds: Uint32Array.of(1, 2), contextLength: 1, withMemory: true }),
    600_000,
  ],
  ['explain', (client) => client.explain({ text: 'a' }), 600_000],
  ['tokenize', (client) => client.tokenize('a'), 10_000],
  ['status', (client) => client.status(), 10_000],
];

describe('connectClient', () => {
  it('says hello with the token', async () => {
    const { peer } = await connect();
    expect(peer.hello).toEqual({
      kind: 'hello',
      protocolMin: 1,
      protocolMax: 1,
      software: 'test/1',
      role: 'client',
      token: 'secret',
      worker: null,
    });
  });

  it('fails with what it was refused with', async () => {
    const { failure } = await dial((connection) => {
      connection.onMessage = () => {};
      const refusal = failureMessage(null, codedError('UNAUTHORIZED', 'no token; expected one; give it'));
      const channel = openChannel({
        connection,
        clock: new ManualClock(),
        accepts: new Set(),
        serve: silence,
        onNotice: () => {},
        onClose: () => {},
        onDefect: () => {},
      });
      channel.notify(refusal);
      channel.close('UNAUTHORIZED');
    });
    expect(await failure).toMatchObject({ code: 'UNAUTHORIZED', message: 'no token; expected one; give it' });
  });

  it('fails when it is welcomed to another version', async () => {
    const { failure } = await dial((connection) => {
      connection.onMessage = () => {};
      connection.onClose = () => {};
      const welcome = { kind: 'welcome', protocol: 2, software: '', clusterId: '' } as const;
      connection.send(encode({ ...welcome, heartbeatMs: 1, leaseMs: 1 }));
    });
    expect(await failure).toMatchObject({
      code: 'PROTOCOL_VERSION',
      message: expect.stringContaining('the coordinator speaks protocol 2'),
    });
  });

  it('fails when nobody says welcome in time', async () => {
    let closedBecause: string | null = null;
    const { failure, clock } = await dial((connection) => {
      connection.onMessage = () => {};
      connection.onClose = (reason) => {
        closedBecause = reason;
      };
    });
    await clock.advance(100);
    expect(await failure).toMatchObject({
      code: 'CONNECT_FAILED',
      message:
        'memory:1 did not say welcome within 100 ms; expected a coordinator; check that the process there is alive',
    });
    expect(closedBecause).toBe('no welcome in time');
  });

  it.each([
    {
      what: 'hangs up',
      act: (connection: Connection) => connection.close('busy'),
      reason: 'memory:1 hung up before it said welcome (busy)',
    },
    {
      what: 'talks nonsense',
      act: (connection: Connection) => connection.send([Uint8Array.of(1, 2, 3)]),
      reason: 'MALFORMED_MESSAGE',
    },
  ])('fails when the other side $what', async ({ act, reason }) => {
    const { failure } = await dial(act);
    expect(await failure).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining(reason),
    });
  });

  it.each([
    [{ token: 'x'.repeat(TOKEN_LENGTH_MAX + 1) }, 'hello.token is "xxx'],
    [{ software: 'x'.repeat(NAME_LENGTH_MAX + 1) }, 'hello.software is "xxx'],
  ])('does not dial with what no hello can carry', async (options, reason) => {
    let dialled = false;
    const { failure } = await dial(() => {
      dialled = true;
    }, options);
    expect(await failure).toMatchObject({ code: 'USAGE', message: expect.stringContaining(reason) });
    expect(dialled).toBe(false);
  });
});

describe.each(calls)('%s', (_, call, deadlineMs) => {
  it('rejects at its deadline when no answer comes', async () => {
    const { client, clock } = await connect();
    let failure: unknown = null;
    call(client).catch((error: unknown) => {
      failure = error;
    });
    await clock.advance(deadlineMs - 1);
    expect(failure).toBeNull();
    await clock.advance(1);
    expect(failure).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  it('rejects when the connection ends, from either side, and afterwards', async () => {
    for (const end of [
      ({ client }: Awaited<ReturnType<typeof connect>>) => client.close(),
      ({ peer }: Awaited<ReturnType<typeof connect>>) => peer.channel.close('bye'),
    ]) {
      const connected = await connect();
      const outcome = expect(call(connected.client)).rejects.toMatchObject({
        code: 'CONNECTION_LOST',
        retriable: true,
      });
      end(connected);
      await outcome;
      expect(await connected.client.closed).toMatch(/bye|the client is done/);
      await expect(call(connected.client)).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    }
  });

  it('rejects with the failure of the other side', async () => {
    const { client } = await connect(() => Promise.reject(codedError('NOT_READY', 'a; b; c')));
    await expect(call(client)).rejects.toMatchObject({
      code: 'NOT_READY',
      message: 'a; b; c',
      retriable: true,
    });
  });

  it('rejects when garbage comes', async () => {
    const clock = new ManualClock();
    const transport = createMemoryTransport();
    let bare: Connection | null = null;
    const { url } = await transport.listen({
      host: '',
      port: 0,
      onConnection: (connection) => {
        bare = connection;
        openChannel({
          connection,
          clock,
          accepts: new Set(['hello']),
          serve: silence,
          onNotice: () => {},
          onClose: () => {},
          onDefect: () => {},
        }).notify({ kind: 'welcome', protocol: 1, software: '', clusterId: '', heartbeatMs: 1, leaseMs: 1 });
      },
    });
    const client = await connectClient({
      transport,
      clock,
      url,
      token: null,
      software: '',
      connectTimeoutMs: 1,
    });
    const outcome = expect(call(client)).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('MALFORMED_MESSAGE'),
    });
    (bare as Connection | null)?.send([Uint8Array.of(0xff)]);
    await outcome;
  });
});

describe('a request that the protocol cannot carry', () => {
  const long = 'x'.repeat(TEXT_LENGTH_MAX + 1);
  const ids = Uint32Array.of(1, 2);
  const refused: [string, (client: Client) => Promise<unknown>, string][] = [
    ['a long text to tokenize', (client) => client.tokenize(long), `tokenize.text is "x`],
    [
      'a long text to explain',
      (client) => client.explain({ text: long }),
      `expected a string of at most ${TEXT_LENGTH_MAX} characters`,
    ],
    [
      'a negative position',
      (client) => client.explain({ text: 'a', position: -1 }),
      'explain.position is -1',
    ],
    ['half a layer', (client) => client.explain({ text: 'a', layer: 0.5 }), 'explain.layer is 0.5'],
    [
      'a long prompt',
      (client) => client.generate({ prompts: ['a', long], maxTokens: 1 }),
      'generate.prompts[1].text is "x',
    ],
    [
      'a prompt of many ids',
      (client) =>
        client.generate({ prompts: [new Array<number>(PROMPT_TOKENS_MAX + 1).fill(0)], maxTokens: 1 }),
      'generate.prompts[0].ids is a list of 1048577',
    ],
    [
      'an id below 0',
      (client) => client.generate({ prompts: [[-1]], maxTokens: 1 }),
      'generate.prompts[0].ids[0] is -1',
    ],
    [
      'too many prompts',
      (client) => client.generate({ prompts: Array<string>(PROMPTS_MAX + 1).fill('a'), maxTokens: 1 }),
      `generate.prompts is a list of ${PROMPTS_MAX + 1}; expected a list of at most ${PROMPTS_MAX}`,
    ],
    ['no prompt', (client) => client.generate({ prompts: [], maxTokens: 1 }), 'prompts is empty'],
    [
      'endless tokens',
      (client) => client.generate({ prompts: ['a'], maxTokens: 2 ** 32 }),
      'generate.maxTokens is 4294967296',
    ],
    [
      'a cold temperature',
      (client) => client.generate({ prompts: ['a'], maxTokens: 1, temperature: -1 }),
      'temperature is -1',
    ],
    [
      'no temperature',
      (client) => client.generate({ prompts: ['a'], maxTokens: 1, temperature: Number.NaN }),
      'generate.temperature is NaN',
    ],
    [
      'half a top-k',
      (client) => client.generate({ prompts: ['a'], maxTokens: 1, topK: 1.5 }),
      'generate.topK is 1.5',
    ],
    ['a top-p of 0', (client) => client.generate({ prompts: ['a'], maxTokens: 1, topP: 0 }), 'topP is 0'],
    [
      'a huge seed',
      (client) => client.generate({ prompts: ['a'], maxTokens: 1, seed: 2 ** 53 }),
      'generate.seed is 9007199254740992',
    ],
    [
      'no context',
      (client) => client.evaluate({ tokenIds: ids, contextLength: 0, withMemory: true }),
      'contextLength is 0; expected at least 1',
    ],
  ];

  it.each(refused)(
    '%s: is refused before anything is sent, and the client goes on',
    async (_, call, reason) => {
      const { client, peer } = await connect(async () => ({ kind: 'tokens', tokenIds: Uint32Array.of(7) }));
      await expect(call(client)).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.stringMatching(/^[^;]+; expected [^;]+; correct the request$/),
      });
      await expect(call(client)).rejects.toThrow(reason);
      await expect(call(client)).rejects.toBeInstanceOf(OperatingError);
      expect(peer.requests).toEqual([]);
      expect(await client.tokenize('a')).toEqual([7]);
    },
  );

  it('but not what just fits', async () => {
    const { client, peer } = await connect(async () => ({ kind: 'tokens', tokenIds: new Uint32Array(0) }));
    expect(await client.tokenize('ä'.repeat(TEXT_LENGTH_MAX))).toEqual([]);
    expect(peer.requests).toHaveLength(1);
  });
});

describe('generate', () => {
  const send = (context: RequestContext, sequence: number, tokenId: number, text: string) =>
    context.sendPart({ kind: 'token', sequence, tokenId, text });

  it('asks with its defaults, and joins tokens, text and rest by sequence', async () => {
    const { client, peer } = await connect(async (_, context) => {
      for (const [sequence, tokenId, text] of [
        [0, 5, 'a'],
        [1, 6, ''],
        [0, 7, 'b'],
      ] as const)
        send(context, sequence, tokenId, text);
      return {
        ...generated,
        sequences: [
          { finish: 'length', tokenCount: 2, rest: '' },
          { finish: 'stop', tokenCount: 1, rest: '!' },
        ],
      };
    });
    const seen: unknown[] = [];
    const answer = await client.generate({
      prompts: ['x', [1, 2]],
      maxTokens: 2,
      onToken: (token) => seen.push(token),
    });
    expect(answer).toEqual({
      sequences: [
        { tokenIds: [5, 7], text: 'ab', finish: 'length' },
        { tokenIds: [6], text: '!', finish: 'stop' },
      ],
      elapsedMs: 1,
      lookupMs: 2,
      hiddenFraction: 0.5,
    });
    expect(seen[2]).toEqual({ sequence: 0, tokenId: 7, text: 'b' });
    expect(peer.requests).toMatchObject([
      {
        prompts: [
          { text: 'x', ids: null },
          { text: null, ids: [1, 2] },
        ],
        temperature: 0,
        topK: 0,
        topP: 1,
        seed: 0,
        stopAtEos: false,
        deadlineMs: 600_000,
      },
    ]);
  });

  it.each([
    {
      what: 'a token of a sequence that nobody asked for',
      tokens: [1],
      sequences: generated.sequences,
      reason: 'a token came for sequence 1 of 1',
    },
    { what: 'no sequence', tokens: [], sequences: [], reason: 'the answer counts no tokens' },
    {
      what: 'a sequence too many',
      tokens: [],
      sequences: [...generated.sequences, ...generated.sequences],
      reason: 'the answer counts 0, 0 tokens',
    },
    {
      what: 'fewer tokens than it counts',
      tokens: [0],
      sequences: [{ finish: 'length', tokenCount: 2, rest: '' } as const],
      reason: 'the answer counts 2 tokens; expected those that came, 1',
    },
  ])('refuses $what', async ({ tokens, sequences, reason }) => {
    const { client } = await connect(async (_, context) => {
      for (const sequence of tokens) send(context, sequence, 5, '');
      return { ...generated, sequences: [...sequences] };
    });
    await expect(client.generate({ prompts: ['x'], maxTokens: 2 })).rejects.toMatchObject({
      code: 'UNEXPECTED_MESSAGE',
      message: expect.stringContaining(reason),
    });
  });

  it('gives up with what the caller throws', async () => {
    const { client } = await connect(async (_, context) => {
      send(context, 0, 5, '');
      return silence();
    });
    const onToken = () => {
      throw new Error('enough');
    };
    await expect(client.generate({ prompts: ['x'], maxTokens: 2, onToken })).rejects.toThrow('enough');
  });
});

it('a coordinator may not ask a client', async () => {
  const { client, peer } = await connect();
  await expect(peer.channel.request({ kind: 'status' }, { deadlineMs: 1 })).rejects.toMatchObject({
    code: 'CONNECTION_LOST',
  });
  expect(await client.closed).toContain('UNEXPECTED_MESSAGE');
});
