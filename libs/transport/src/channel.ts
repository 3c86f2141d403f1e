import type { Clock } from '@ultramem/environment';
import type {
  AnswerTo,
  Kind,
  MessageOfKind,
  Notice,
  NoticeKind,
  PartOf,
  Request,
  RequestKind,
} from '@ultramem/protocol';
import type { Connection } from './connection.ts';

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
  /** Sends one message before the answer, of the request's part kind. Without effect when cancelled. */
  sendPart(part: AnswerBody): void;
}

export interface ChannelOptions {
  connection: Connection;
  clock: Clock;
  /** Requests and notices that the peer may send now; looked at for every message, so the owner may change the set. */
  accepts: ReadonlySet<RequestKind | NoticeKind>;
  /** Answers one request. An `OperatingError` becomes a `failure` with its code; anything else INTERNAL and `onDefect`. */
  serve: (request: Request, context: RequestContext) => Promise<AnswerBody>;
  /** A notice of an accepted kind; also every `failure` without id, which says why the peer is about to hang up. */
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
  throw new Error(`not yet: ${options.connection.peerName}`);
}
