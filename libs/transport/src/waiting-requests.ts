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
  type PartOf,
  type RequestKind,
} from '@ultramem/protocol';
import type { AnswerBody, RequestBody, RequestOptions } from './channel.ts';
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
  kind: RequestKind;
  onAnswer: (message: Message) => void;
  onPart: (message: Message) => void;
  reject: (error: unknown) => void;
}

export function createWaitingRequests(options: {
  connection: Connection;
  clock: Clock;
  send: (message: Message) => void;
}): WaitingRequests {
  const { connection, clock, send } = options;
  const waiting = new Map<number, Waiting>();
  const abandoned = new Set<number>(); // oldest first
  let lastId = 0;

  const take = (id: number): Waiting | undefined => {
    const entry = waiting.get(id);
    waiting.delete(id);
    if (entry === undefined && !abandoned.has(id)) throw notAsked(`request ${id}, which is not waiting`);
    return entry;
  };
  const abandon = (id: number, error: unknown): void => {
    const entry = waiting.get(id);
    if (entry === undefined) return;
    waiting.delete(id);
    abandoned.add(id);
    if (abandoned.size > ABANDONED_IDS_MAX)
      for (const oldest of abandoned) if (abandoned.delete(oldest)) break;
    entry.reject(error);
    send({ kind: 'cancel', id });
  };
  return {
    request: <K extends RequestKind>(
      body: { kind: K } & RequestBody<K>,
      { deadlineMs, onPart, signal }: RequestOptions<K>,
    ) => {
      const { kind } = body;
      return new Promise<AnswerTo<K>>((resolve, reject) => {
        if (signal?.aborted) throw cancelled(kind);
        if (!(deadlineMs > 0)) throw expired(kind, deadlineMs);
        if (waiting.size >= IN_FLIGHT_MAX || connection.bufferedBytes > BUFFERED_BYTES_MAX)
          throw overloaded(waiting.size, connection.bufferedBytes);
        do lastId = (lastId + 1) % 2 ** 32;
        while (waiting.has(lastId) || abandoned.has(lastId));
        const id = lastId;
        const remainingMs = Math.min(Math.ceil(deadlineMs), DEADLINE_MS_MAX);
        // The two fields that RequestBody leaves out are back; the compiler cannot add up a generic kind.
        send({ ...body, id, deadlineMs: remainingMs } as MessageOfKind<K>);
        const onAbort = (): void => abandon(id, cancelled(kind));
        const stopTimer = clock.after(remainingMs, () => abandon(id, expired(kind, remainingMs)));
        const settle = (): void => {
          stopTimer();
          signal?.removeEventListener('abort', onAbort);
        };
        signal?.addEventListener('abort', onAbort);
        waiting.set(id, {
          kind,
          // `answer` below has compared the kinds with the definition, which is what the types say.
          onAnswer: (message) => {
            settle();
            resolve(message as AnswerTo<K>);
          },
          onPart: (message) => onPart?.(message as PartOf<K>),
          reject: (error) => {
            settle();
            reject(error);
          },
        });
      });
    },
    answer: (message) => {
      const { id, kind } = message;
      assert(id !== undefined, 'decoded answers have an id');
      const entry = waiting.get(id);
      const definition = entry && definitionOf(entry.kind);
      if (entry && kind === definition?.part) {
        try {
          entry.onPart(message);
        } catch (error) {
          abandon(id, error);
        }
        return;
      }
      const taken = take(id);
      if (taken === undefined) return;
      if (kind === definition?.answer) taken.onAnswer(message);
      else {
        const error = notAsked(`"${taken.kind}", which has another answer`, kind);
        taken.reject(error);
        throw error;
      }
    },
    fail: ({ id, code, message, retriable }) =>
      take(id)?.reject(new OperatingError(code, message, { retriable })),
    rejectAll: (reason) => {
      const entries = [...waiting.values()];
      waiting.clear();
      for (const entry of entries) entry.reject(lost(entry.kind, reason));
    },
    count: () => waiting.size,
  };
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
