import type { Clock } from '@ultramem/environment';
import { assert, OperatingError } from '@ultramem/invariant';
import {
  ABANDONED_IDS_MAX,
  type AnswerTo,
  BUFFERED_BYTES_MAX,
  codedError,
  definitionOf,
  IN_FLIGHT_MAX,
  type Message,
  type MessageOfKind,
  type RequestKind,
} from '@ultramem/protocol';
import { type Alarm, createAlarm } from './alarm.ts';
import type { AnswerBody, CancelSignal, RequestBody, RequestOptions } from './channel.ts';
import type { Connection } from './connection.ts';
import { overloaded } from './served-requests.ts';

/** Beyond this, timers of common runtimes fire at once. */
const DEADLINE_MS_MAX = 2 ** 31 - 1;

/** Our requests that wait for their answer. */
export interface WaitingRequests {
  request<K extends RequestKind>(
    body: { kind: K } & RequestBody<K>,
    options: RequestOptions<K>,
  ): Promise<AnswerTo<K>>;
  /** Takes an answer or a part. @throws OperatingError UNEXPECTED_MESSAGE when nothing asked for it. */
  answer(message: Message & AnswerBody): void;
  fail(failure: MessageOfKind<'failure'> & { id: number }): void;
  rejectAll(reason: string): void;
  count(): number;
}

interface Waiting {
  readonly kind: RequestKind;
  readonly deadlineAtMs: number;
  /** What the caller allowed, for the message. */
  readonly deadlineMs: number;
  readonly onPart: ((message: Message) => void) | undefined;
  readonly resolve: (message: Message) => void;
  readonly reject: (error: unknown) => void;
  readonly signal: CancelSignal | undefined;
  readonly onAbort: () => void;
}

interface Requesting {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly send: (message: Message) => void;
  readonly waiting: Map<number, Waiting>;
  /** Ids that were given up and may still be answered, oldest first. */
  readonly abandoned: Set<number>;
  readonly alarm: Alarm;
  lastId: number;
}

export function createWaitingRequests(options: {
  connection: Connection;
  clock: Clock;
  send: (message: Message) => void;
}): WaitingRequests {
  const waiting = new Map<number, Waiting>();
  const alarm = createAlarm(options.clock, (nowMs) => expireDue(state, nowMs));
  const state: Requesting = { ...options, waiting, abandoned: new Set(), alarm, lastId: 0 };
  return {
    // Whatever `start` throws rejects the promise.
    request: <K extends RequestKind>(body: { kind: K } & RequestBody<K>, requestOptions: RequestOptions<K>) =>
      new Promise<AnswerTo<K>>((resolve, reject) =>
        start<K>(state, body, { resolve, reject, ...requestOptions }),
      ),
    answer: (message) => takeAnswer(state, message),
    fail: ({ id, code, message, retriable }) =>
      reject(take(state, id), new OperatingError(code, message, { retriable })),
    rejectAll: (reason) => {
      alarm.stop();
      const entries = [...waiting.values()];
      waiting.clear();
      for (const entry of entries) reject(entry, lost(entry.kind, reason));
    },
    count: () => waiting.size,
  };
}

interface Settling<K extends RequestKind> extends RequestOptions<K> {
  resolve: (answer: AnswerTo<K>) => void;
  reject: (error: unknown) => void;
}

function start<K extends RequestKind>(
  state: Requesting,
  body: { kind: K } & RequestBody<K>,
  { deadlineMs, onPart, signal, resolve, reject }: Settling<K>,
): void {
  const { connection, waiting } = state;
  const { kind } = body;
  assert(!('id' in body) && !('deadlineMs' in body), 'the channel numbers requests and limits their time');
  if (signal?.aborted) throw cancelled(kind);
  if (!(deadlineMs > 0)) throw expired(kind, deadlineMs);
  if (waiting.size >= IN_FLIGHT_MAX || connection.bufferedBytes > BUFFERED_BYTES_MAX)
    throw overloaded(waiting.size, connection.bufferedBytes);
  const id = nextId(state);
  const remainingMs = Math.min(Math.ceil(deadlineMs), DEADLINE_MS_MAX);
  // The two fields that RequestBody leaves out are back; the compiler cannot add up a generic kind.
  state.send({ id, deadlineMs: remainingMs, ...body } as unknown as MessageOfKind<K>);
  const deadlineAtMs = state.clock.nowMs() + remainingMs;
  const onAbort = (): void => abandon(state, id, cancelled(kind));
  signal?.addEventListener('abort', onAbort);
  // `takeAnswer` compares kinds with the definition, which is what the types of answers and parts say.
  waiting.set(id, {
    kind,
    deadlineAtMs,
    deadlineMs: remainingMs,
    onPart: onPart as Waiting['onPart'],
    resolve: resolve as Waiting['resolve'],
    reject,
    signal,
    onAbort,
  });
  state.alarm.setBy(deadlineAtMs);
}

/** Gives up what is due at `nowMs`; answers when the next request will be, or null. */
function expireDue(state: Requesting, nowMs: number): number | null {
  let nextMs: number | null = null;
  for (const [id, { kind, deadlineAtMs, deadlineMs }] of [...state.waiting])
    if (deadlineAtMs <= nowMs) abandon(state, id, expired(kind, deadlineMs));
    else if (nextMs === null || deadlineAtMs < nextMs) nextMs = deadlineAtMs;
  return nextMs;
}

function reject(entry: Waiting | undefined, error: unknown): void {
  entry?.signal?.removeEventListener('abort', entry.onAbort);
  entry?.reject(error);
}

function nextId(state: Requesting): number {
  do state.lastId = (state.lastId + 1) % 2 ** 32;
  while (state.waiting.has(state.lastId) || state.abandoned.has(state.lastId));
  return state.lastId;
}

function takeAnswer(state: Requesting, message: Message & AnswerBody): void {
  const { id, kind } = message;
  assert(id !== undefined, 'decoded answers have an id');
  const entry = state.waiting.get(id);
  const definition = entry && definitionOf(entry.kind);
  if (entry && kind === definition?.part) {
    try {
      entry.onPart?.(message);
    } catch (error) {
      abandon(state, id, error);
    }
    return;
  }
  const taken = take(state, id);
  if (taken === undefined) return;
  if (kind === definition?.answer) {
    taken.signal?.removeEventListener('abort', taken.onAbort);
    taken.resolve(message);
  } else {
    const error = notAsked(`"${taken.kind}", which has another answer`, kind);
    reject(taken, error);
    throw error;
  }
}

/** The request that waits, or undefined when it was given up. @throws OperatingError UNEXPECTED_MESSAGE when nobody asked. */
function take({ waiting, abandoned }: Requesting, id: number): Waiting | undefined {
  const entry = waiting.get(id);
  waiting.delete(id);
  if (entry === undefined && !abandoned.has(id)) throw notAsked(`request ${id}, which is not waiting`);
  return entry;
}

function abandon({ waiting, abandoned, send }: Requesting, id: number, error: unknown): void {
  const entry = waiting.get(id);
  if (entry === undefined) return;
  waiting.delete(id);
  abandoned.add(id);
  if (abandoned.size > ABANDONED_IDS_MAX) for (const oldest of abandoned) if (abandoned.delete(oldest)) break;
  reject(entry, error);
  send({ kind: 'cancel', id });
}

/** @param reason why the connection ended */
export function lost(kind: RequestKind, reason: string): OperatingError {
  return codedError(
    'CONNECTION_LOST',
    `the connection ended (${reason}) before "${kind}" was answered; expected an answer; try again`,
  );
}

function expired(kind: RequestKind, deadlineMs: number): OperatingError {
  return codedError(
    'DEADLINE_EXCEEDED',
    `"${kind}" was not answered in time; expected an answer within ${deadlineMs} ms; allow more time or ask for less`,
  );
}

function cancelled(kind: RequestKind): OperatingError {
  return codedError(
    'CANCELLED',
    `"${kind}" was given up; expected its caller to wait; ask again if the answer is wanted`,
  );
}

function notAsked(what: string, kind = 'failure'): OperatingError {
  return codedError(
    'UNEXPECTED_MESSAGE',
    `"${kind}" came for ${what}; expected one answer of the right kind per request; run the same release on both sides`,
  );
}
