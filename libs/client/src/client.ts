import type { Clock } from '@ultramem/environment';
import { OperatingError } from '@ultramem/invariant';
import {
  type AnswerTo,
  codedError,
  type MessageOfKind,
  PROTOCOL_MAX,
  PROTOCOL_MIN,
  type RequestKind,
  unknownVersion,
} from '@ultramem/protocol';
import {
  type Channel,
  openChannel,
  type RequestBody,
  type RequestOptions,
  type Transport,
} from '@ultramem/transport';
import { checkMessage } from './check-message.ts';

export interface ClientOptions {
  transport: Transport;
  clock: Clock;
  url: string;
  token: string | null;
  software: string;
  connectTimeoutMs: number;
}

export interface GenerateRequest {
  /** Texts, which the coordinator tokenizes, or token ids. */
  prompts: readonly (string | readonly number[])[];
  maxTokens: number;
  /** 0, the default, takes the best token. */
  temperature?: number;
  /** 0, the default, draws from all tokens. */
  topK?: number;
  topP?: number;
  seed?: number;
  stopAtEos?: boolean;
  /** For the whole generation, default 10 minutes. */
  deadlineMs?: number;
  onToken?: (token: { sequence: number; tokenId: number; text: string }) => void;
}

export interface Generation {
  sequences: { tokenIds: number[]; text: string; finish: 'stop' | 'length' | 'context' }[];
  elapsedMs: number;
  lookupMs: number;
  hiddenFraction: number;
}

/**
 * A connection to a coordinator. Every call settles within its deadline; it rejects with a coded `OperatingError`, USAGE when the
 * request breaks a limit of the protocol: nothing has been sent then.
 */
export interface Client {
  generate(request: GenerateRequest): Promise<Generation>;
  /** Next-token loss of consecutive windows (see `evaluate` of @ultramem/inference). */
  evaluate(request: {
    tokenIds: Uint32Array;
    contextLength: number;
    withMemory: boolean;
    deadlineMs?: number;
  }): Promise<MessageOfKind<'evaluation'>>;
  tokenize(text: string): Promise<number[]>;
  explain(request: {
    text: string;
    position?: number | null;
    layer?: number | null;
    deadlineMs?: number;
  }): Promise<MessageOfKind<'explanation'>>;
  status(): Promise<MessageOfKind<'cluster-status'>>;
  close(): void;
  /** Resolves with the reason when the connection has ended. */
  readonly closed: Promise<string>;
}

const LONG_DEADLINE_MS = 600_000;
const SHORT_DEADLINE_MS = 10_000;

/**
 * Dials a coordinator and says hello.
 *
 * @throws OperatingError CONNECT_FAILED, NOT_A_COORDINATOR, URL_INVALID, UNAUTHORIZED, PROTOCOL_VERSION, CONNECTION_LOST; USAGE
 * for a token or a name that is too long
 */
export async function connectClient(options: ClientOptions): Promise<Client> {
  const { channel, closed } = await greet(options);
  const request = <K extends RequestKind>(
    body: { kind: K } & RequestBody<K>,
    deadlineMs: number,
  ): Promise<AnswerTo<K>> => ask<K>(channel, body, { deadlineMs });
  return {
    generate: (asked) => generate(channel, asked),
    evaluate: ({ tokenIds, contextLength, withMemory, deadlineMs }) =>
      request({ kind: 'evaluate', contextLength, withMemory, tokenIds }, deadlineMs ?? LONG_DEADLINE_MS),
    tokenize: async (text) => [...(await request({ kind: 'tokenize', text }, SHORT_DEADLINE_MS)).tokenIds],
    explain: ({ text, position = null, layer = null, deadlineMs }) =>
      request({ kind: 'explain', text, position, layer }, deadlineMs ?? LONG_DEADLINE_MS),
    status: () => request({ kind: 'status' }, SHORT_DEADLINE_MS),
    close: () => channel.close('the client is done'),
    closed,
  };
}

async function ask<K extends RequestKind>(
  channel: Channel,
  body: { kind: K } & RequestBody<K>,
  options: RequestOptions<K>,
): Promise<AnswerTo<K>> {
  checkMessage({ id: 0, deadlineMs: 1, ...body }); // the channel writes these two
  return channel.request<K>(body, options);
}

async function greet(options: ClientOptions): Promise<{ channel: Channel; closed: Promise<string> }> {
  const { transport, clock, url, token, software, connectTimeoutMs } = options;
  const hello: MessageOfKind<'hello'> = {
    kind: 'hello',
    protocolMin: PROTOCOL_MIN,
    protocolMax: PROTOCOL_MAX,
    software,
    role: 'client',
    token,
    worker: null,
  };
  checkMessage(hello);
  const connection = await transport.connect(url, { timeoutMs: connectTimeoutMs });
  let ended: (reason: string) => void = () => {};
  const closed = new Promise<string>((resolve) => {
    ended = resolve;
  });
  let welcomed: () => void = () => {};
  let failed: (error: unknown) => void = () => {};
  const welcome = new Promise<void>((resolve, reject) => {
    [welcomed, failed] = [resolve, reject];
  });
  let refusal: OperatingError | null = null;
  // What came before the hello is handed over while the channel opens, so nothing in there may need the channel.
  const cancelDeadline = clock.after(connectTimeoutMs, () => {
    refusal = codedError(
      'CONNECT_FAILED',
      `${url} did not say welcome within ${connectTimeoutMs} ms; expected a coordinator; check that the process there is alive`,
    );
    channel.close('no welcome in time');
  });
  const channel = openChannel({
    connection,
    clock,
    accepts: new Set(['welcome', 'failure', 'leave']),
    serve: () =>
      Promise.reject(
        codedError(
          'UNEXPECTED_MESSAGE',
          'the coordinator asked a client; expected answers only; run the same release on both sides',
        ),
      ),
    onNotice: (notice) => {
      if (notice.kind === 'failure')
        refusal = new OperatingError(notice.code, notice.message, { retriable: notice.retriable });
      if (notice.kind !== 'welcome') return;
      refusal = unknownVersion(notice.protocol);
      if (refusal !== null) throw refusal;
      cancelDeadline();
      welcomed();
    },
    onClose: (reason) => {
      cancelDeadline();
      failed(refusal ?? hungUp(url, reason));
      ended(reason);
    },
    onDefect: failed,
  });
  channel.notify(hello);
  await welcome;
  return { channel, closed };
}

function hungUp(url: string, reason: string): OperatingError {
  return codedError(
    'CONNECTION_LOST',
    `${url} hung up before it said welcome (${reason}); expected a coordinator of this version; look at its log`,
  );
}

async function generate(channel: Channel, asked: GenerateRequest): Promise<Generation> {
  const {
    prompts,
    maxTokens,
    temperature = 0,
    topK = 0,
    topP = 1,
    seed = 0,
    stopAtEos = false,
    onToken,
  } = asked;
  const grown = prompts.map(() => ({ tokenIds: [] as number[], text: '' }));
  const answer = await ask<'generate'>(
    channel,
    {
      kind: 'generate',
      prompts: prompts.map((prompt) =>
        typeof prompt === 'string' ? { text: prompt, ids: null } : { text: null, ids: [...prompt] },
      ),
      maxTokens,
      temperature,
      topK,
      topP,
      seed,
      stopAtEos,
    },
    {
      deadlineMs: asked.deadlineMs ?? LONG_DEADLINE_MS,
      onPart: ({ sequence, tokenId, text }) => {
        const sequenceSoFar = grown[sequence];
        if (sequenceSoFar === undefined)
          throw codedError(
            'UNEXPECTED_MESSAGE',
            `a token came for sequence ${sequence} of ${prompts.length}; expected one of the request; run the same release on both sides`,
          );
        sequenceSoFar.tokenIds.push(tokenId);
        sequenceSoFar.text += text;
        onToken?.({ sequence, tokenId, text });
      },
    },
  );
  const { sequences, elapsedMs, lookupMs, hiddenFraction } = answer;
  if (
    sequences.length !== grown.length ||
    sequences.some(({ tokenCount }, i) => tokenCount !== grown[i].tokenIds.length)
  )
    throw codedError(
      'UNEXPECTED_MESSAGE',
      `the answer counts ${sequences.map(({ tokenCount }) => tokenCount).join(', ') || 'no'} tokens; expected those that came, ${grown.map(({ tokenIds }) => tokenIds.length).join(', ')}; run the same release on both sides`,
    );
  return {
    sequences: grown.map((sequence, i) => ({
      ...sequence,
      text: sequence.text + sequences[i].rest,
      finish: sequences[i].finish,
    })),
    elapsedMs,
    lookupMs,
    hiddenFraction,
  };
}
