import { decode, encode, type Message, type MessageOfKind } from '@ultramem/protocol';
import type { Connection } from '@ultramem/transport';
import { createWsTransport } from '@ultramem/transport-ws';

/** A server that workers take for a coordinator until it misbehaves. */
export interface FakeCoordinator {
  readonly url: string;
  /** The next worker that dials, after its hello. */
  accept(): Promise<FakeSession>;
  close(): Promise<void>;
}

export interface FakeSession {
  readonly hello: Message;
  /** What came after the hello, oldest first. */
  readonly messages: readonly Message[];
  readonly closed: Promise<string>;
  sendBytes(bytes: Uint8Array): void;
  send(message: Message): void;
  /** The first message that passes `test`, or null when the connection ends first. */
  next(test: (message: Message) => boolean): Promise<Message | null>;
  close(reason: string): void;
}

export const WELCOME: MessageOfKind<'welcome'> = {
  kind: 'welcome',
  protocol: 1,
  software: 'fake',
  clusterId: 'fake',
  heartbeatMs: 1000,
  leaseMs: 60_000,
};

export async function startFakeCoordinator(port = 0): Promise<FakeCoordinator> {
  const ready: FakeSession[] = [];
  const waiting: ((session: FakeSession) => void)[] = [];
  const listener = await createWsTransport().listen({
    host: '127.0.0.1',
    port,
    onConnection: (connection) =>
      openSession(connection, (session) => {
        const accept = waiting.shift();
        if (accept === undefined) ready.push(session);
        else accept(session);
      }),
  });
  return {
    url: listener.url,
    accept: () => {
      const session = ready.shift();
      return session === undefined
        ? new Promise((resolve) => waiting.push(resolve))
        : Promise.resolve(session);
    },
    close: () => listener.close(),
  };
}

function openSession(connection: Connection, onHello: (session: FakeSession) => void): void {
  const messages: Message[] = [];
  const looks = new Set<() => void>();
  let isGreeted = false;
  let isClosed = false;
  const look = (): void => {
    for (const one of [...looks]) one();
  };
  const closed = new Promise<string>((resolve) => {
    connection.onClose = (reason) => {
      isClosed = true;
      resolve(reason);
      look();
    };
  });
  const sendBytes = (bytes: Uint8Array): void => connection.send([bytes]);
  const next: FakeSession['next'] = (test) =>
    new Promise((resolve) => {
      const one = (): void => {
        const found = messages.find(test) ?? null;
        if (found === null && !isClosed) return;
        looks.delete(one);
        resolve(found);
      };
      looks.add(one);
      one();
    });
  connection.onMessage = (bytes) => {
    const message = decode(bytes);
    if (isGreeted) {
      messages.push(message);
      look();
      return;
    }
    isGreeted = true;
    onHello({
      hello: message,
      messages,
      closed,
      sendBytes,
      send: (sent) => connection.send(encode(sent)),
      next,
      close: (reason) => connection.close(reason),
    });
  };
}
