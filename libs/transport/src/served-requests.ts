import type { Clock } from '@ultramem/environment';
import { assert, OperatingError } from '@ultramem/invariant';
import {
  BUFFERED_BYTES_MAX,
  codedError,
  definitionOf,
  IN_FLIGHT_MAX,
  type Message,
  type Request,
} from '@ultramem/protocol';
import type { AnswerBody, RequestContext } from './channel.ts';
import type { Connection } from './connection.ts';
import { failureMessage } from './failure-message.ts';

/** The peer's requests that are being answered. */
export interface ServedRequests {
  /** @throws OperatingError UNEXPECTED_MESSAGE when the id is in use, OVERLOADED when the peer asks without end and does not read. */
  begin(request: Request): void;
  cancel(id: number): void;
  cancelAll(): void;
}

interface Served {
  isCancelled: boolean;
  actions: (() => void)[];
}

export function createServedRequests(options: {
  connection: Connection;
  clock: Clock;
  send: (message: Message) => void;
  serve: (request: Request, context: RequestContext) => Promise<AnswerBody>;
  onDefect: (error: unknown) => void;
}): ServedRequests {
  const { connection, clock, send, serve, onDefect } = options;
  const served = new Map<number, Served>();

  const isFull = (): boolean => connection.bufferedBytes > BUFFERED_BYTES_MAX;
  /** Refusals since the peer last read enough. */
  let refusedUnread = 0;

  const run = async (request: Request, entry: Served): Promise<void> => {
    const { id, kind } = request;
    const context: RequestContext = {
      deadlineAtMs: clock.nowMs() + request.deadlineMs,
      isCancelled: () => entry.isCancelled,
      onCancel: (action) => {
        if (entry.isCancelled) action();
        else entry.actions.push(action);
      },
      sendPart: (part) => {
        assert(served.get(id) === entry, 'a part comes before the answer');
        assert(part.kind === definitionOf(kind)?.part, `"${part.kind}" is a part of "${kind}"`);
        assert(!('id' in part), 'the channel numbers parts');
        if (isFull()) throw overloaded(served.size, connection.bufferedBytes);
        if (!entry.isCancelled) send({ id, ...part });
      },
    };
    try {
      const answer = await serve(request, context);
      assert(answer.kind === definitionOf(kind)?.answer, `"${answer.kind}" answers "${kind}"`);
      assert(!('id' in answer), 'the channel numbers answers');
      if (!entry.isCancelled) send({ id, ...answer });
    } catch (error) {
      if (!entry.isCancelled) send(failureMessage(id, error));
      if (!(error instanceof OperatingError)) onDefect(error);
    }
    served.delete(id);
  };
  return {
    begin: (request) => {
      if (served.has(request.id))
        throw codedError(
          'UNEXPECTED_MESSAGE',
          `request ${request.id} arrived while another one has that id; expected a new id; number requests in order`,
        );
      refusedUnread = isFull() ? refusedUnread + 1 : 0;
      if (served.size >= IN_FLIGHT_MAX || isFull()) {
        const error = overloaded(served.size, connection.bufferedBytes);
        // Refusals wait as well: a peer that asks on and reads none of them would fill the memory with them.
        if (refusedUnread > IN_FLIGHT_MAX) throw error;
        send(failureMessage(request.id, error));
        return;
      }
      const entry: Served = { isCancelled: false, actions: [] };
      served.set(request.id, entry);
      void run(request, entry);
    },
    cancel: (id) => {
      const entry = served.get(id);
      if (entry !== undefined) cancel(entry);
    },
    cancelAll: () => {
      for (const entry of served.values()) cancel(entry);
    },
  };
}

function cancel(entry: Served): void {
  if (entry.isCancelled) return;
  entry.isCancelled = true;
  for (const action of entry.actions.splice(0)) action();
}

/** The same words for requests that we would send and those that we were sent. */
export function overloaded(inFlight: number, bufferedBytes: number): OperatingError {
  return codedError(
    'OVERLOADED',
    `${inFlight} requests and ${bufferedBytes} bytes wait on this connection; expected fewer than ${IN_FLIGHT_MAX} and at most ${BUFFERED_BYTES_MAX}; try again later`,
  );
}
