import type { Clock } from '@ultramem/environment';
import { OperatingError } from '@ultramem/invariant';
import {
  type AnswerTo,
  codedError,
  decode,
  encode,
  isRequest,
  type Kind,
  MESSAGE_BYTES_MAX,
  type Message,
  type MessageOfKind,
  type Notice,
  type NoticeKind,
  type PartOf,
  type Request,
  type RequestKind,
} from '@ultramem/protocol';
import type { Connection } from './connection.ts';
import { failureMessage } from './failure-message.ts';
import { createServedRequests, type ServedRequests } from './served-requests.ts';
import { createWaitingRequests, lost, type WaitingRequests } from './waiting-requests.ts';

/** A request as the caller writes it: the channel numbers it and says how long it may take. */
export type RequestBody<K extends RequestKind> = Omit<MessageOfKind<K>, 'id' | 'deadlineMs'>;

/** An answer or part as `serve` writes it: the channel puts the request's id in, whatever stands there. */
export type AnswerBody = { [K in Kind]: Unnumbered<MessageOfKind<K>> }[Exclude<
  Kind,
  RequestKind | NoticeKind | 'cancel'
>];
type Unnumbered<M> = Omit<M, 'id'> & { id?: number };

export interface RequestOptions<K extends RequestKind> {
  /** From now on; sent along, so that the peer can stop as well. */
  deadlineMs: number;
  /** Called for every part that comes before the answer, in order. */
  onPart?: (part: PartOf<K>) => void;
  /** Aborting it rejects with CANCELLED and tells the peer. An `AbortSignal` is one. */
  signal?: CancelSignal;
}

export interface CancelSignal {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** What `serve` may know and do besides answering. */
export interface RequestContext {
  /** On the channel's clock. */
  readonly deadlineAtMs: number;
  /** True once the peer gave the request up or the connection ended: nobody waits for the answer. */
  isCancelled(): boolean;
  /** Calls `action` once when that happens, at once if it has happened. */
  onCancel(action: () => void): void;
  /**
   * Sends one message before the answer, of the request's part kind. Without effect when cancelled.
   *
   * @throws OperatingError OVERLOADED when the peer does not read what was sent: let it end the request.
   */
  sendPart(part: AnswerBody): void;
}

export interface ChannelOptions {
  connection: Connection;
  clock: Clock;
  /** Requests and notices that the peer may send now; looked at for every message, so the owner may change the set. */
  accepts: ReadonlySet<RequestKind | NoticeKind>;
  /** Answers one request. An `OperatingError` becomes a `failure` with its code; anything else INTERNAL and `onDefect`. */
  serve: (request: Request, context: RequestContext) => Promise<AnswerBody>;
  /**
   * A notice of an accepted kind; also every `failure` without id, which says why the peer is about to hang up. An
   * `OperatingError` thrown here is sent as such a failure, and the connection ends.
   */
  onNotice: (notice: Notice) => void;
  /** Called exactly once, after every waiting request was rejected. */
  onClose: (reason: string) => void;
  /** A defect of this program, not of the peer. */
  onDefect: (error: unknown) => void;
  /** Limit for the first message, while the peer is a stranger. */
  firstMessageBytesMax?: number;
}

/** Requests and answers over one connection, in both directions at once. */
export interface Channel {
  /**
   * Sends a request and waits for its answer.
   *
   * @throws OperatingError DEADLINE_EXCEEDED, CANCELLED, CONNECTION_LOST, OVERLOADED, MESSAGE_TOO_LARGE, UNEXPECTED_MESSAGE
   * (the answer had the wrong kind), or the code of the peer's `failure`.
   */
  request<K extends RequestKind>(
    body: { kind: K } & RequestBody<K>,
    options: RequestOptions<K>,
  ): Promise<AnswerTo<K>>;
  /** Sends a message that has no answer. Without effect when the connection has ended. */
  notify(notice: Notice): void;
  /** Ends the connection; what was sent before still leaves. */
  close(reason: string): void;
  isOpen(): boolean;
  /** Requests of ours that wait for their answer. */
  readonly inFlight: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly peerName: string;
}

/** Takes the connection over: call it in the turn in which the connection was handed over. */
export function openChannel(options: ChannelOptions): Channel {
  const {
    connection,
    clock,
    accepts,
    onNotice,
    onDefect,
    firstMessageBytesMax = MESSAGE_BYTES_MAX,
  } = options;
  let endedBecause: string | null = null;
  let isFirst = true;
  const send = (message: Message): void => connection.send(encode(message));
  const waiting = createWaitingRequests({ connection, clock, send });
  const served = createServedRequests({ connection, clock, send, serve: options.serve, onDefect });

  const end = (reason: string): void => {
    if (endedBecause !== null) return;
    endedBecause = reason;
    connection.close(reason);
    served.cancelAll();
    waiting.rejectAll(reason);
  };
  /** The peer broke the rules, or a defect of ours leaves the connection in doubt: say why and hang up. */
  const hangUp = (error: unknown): void => {
    if (endedBecause !== null) return;
    send(failureMessage(null, error));
    if (!(error instanceof OperatingError)) onDefect(error);
    end(error instanceof OperatingError ? `${error.code}: ${error.message}` : 'INTERNAL');
  };
  connection.onMessage = (bytes) => {
    if (endedBecause !== null) return;
    try {
      const message = decode(bytes, isFirst ? firstMessageBytesMax : MESSAGE_BYTES_MAX);
      if (isFirst && message.kind === 'cancel') throw unexpected('cancel'); // of nothing: a stranger stays one
      isFirst = false;
      receive(message, { accepts, onNotice, waiting, served });
    } catch (error) {
      hangUp(error);
    }
  };
  connection.onClose = (reason) => {
    end(reason);
    options.onClose(endedBecause ?? reason);
  };
  return {
    request: (body, requestOptions) =>
      endedBecause === null
        ? waiting.request(body, requestOptions)
        : Promise.reject(lost(body.kind, endedBecause)),
    notify: (notice) => {
      if (endedBecause === null) send(notice);
    },
    close: end,
    isOpen: () => endedBecause === null,
    get inFlight() {
      return waiting.count();
    },
    get sentBytes() {
      return connection.sentBytes;
    },
    get receivedBytes() {
      return connection.receivedBytes;
    },
    peerName: connection.peerName,
  };
}

/** Where a message goes. @throws OperatingError UNEXPECTED_MESSAGE when it has no place. */
function receive(
  message: Message,
  { accepts, onNotice, waiting, served }: Pick<ChannelOptions, 'accepts' | 'onNotice'> & Halves,
): void {
  if (message.kind === 'cancel') served.cancel(message.id);
  else if (message.kind === 'failure' && message.id !== null) waiting.fail({ ...message, id: message.id });
  else if (message.kind === 'failure') onNotice(message);
  else if (isRequest(message) || isNotice(message)) {
    if (!accepts.has(message.kind)) throw unexpected(message.kind);
    if (isNotice(message)) onNotice(message);
    else served.begin(message);
  } else waiting.answer(message);
}

interface Halves {
  waiting: WaitingRequests;
  served: ServedRequests;
}

function isNotice(message: Message): message is Notice {
  return message.kind === 'hello' || message.kind === 'welcome' || message.kind === 'leave';
}

function unexpected(kind: Kind): OperatingError {
  return codedError(
    'UNEXPECTED_MESSAGE',
    `a message of kind "${kind}" arrived; expected only kinds that have a place here now; look at the order of messages in the protocol's README`,
  );
}
