import {
  decode,
  ERROR_CODES,
  encode,
  type Message,
  type MessageOfKind,
  SUBPROTOCOL,
} from '@ultramem/protocol';
import { expect } from 'vitest';
import { WebSocket } from 'ws';

/** A WebSocket of the protocol without any of its rules. */
export interface RawPeer {
  readonly socket: WebSocket;
  /** What came, oldest first. */
  readonly messages: Message[];
  readonly closed: Promise<{ code: number; reason: string }>;
  sendBytes(bytes: Uint8Array): void;
  send(message: Message): void;
  /** The first message that passes `test`, also one that has come already; rejects when the connection ends first. */
  next(test: (message: Message) => boolean): Promise<Message>;
}

export function dialRaw(url: string): Promise<RawPeer> {
  const socket = new WebSocket(url, [SUBPROTOCOL], { perMessageDeflate: false });
  socket.binaryType = 'nodebuffer';
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(peer));
    socket.on('error', reject);
    const peer = rawPeer(socket);
  });
}

function rawPeer(socket: WebSocket): RawPeer {
  const messages: Message[] = [];
  const looks = new Set<() => void>();
  socket.on('message', (data) => {
    messages.push(decode(new Uint8Array(data as Buffer)));
    for (const look of [...looks]) look();
  });
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  const sendBytes = (bytes: Uint8Array): void => {
    // The other side may hang up at any time; that is what `closed` tells.
    if (socket.readyState === socket.OPEN) socket.send(bytes, { binary: true });
  };
  return {
    socket,
    messages,
    closed,
    sendBytes,
    send: (message) => sendBytes(Buffer.concat(encode(message))),
    next: (test) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = messages.find(test);
          if (found === undefined) return;
          looks.delete(look);
          resolve(found);
        };
        looks.add(look);
        look();
        void closed.then(({ code, reason }) => reject(new Error(`closed first: ${code} ${reason}`)));
      }),
  };
}

export const CLIENT_HELLO: MessageOfKind<'hello'> = {
  kind: 'hello',
  protocolMin: 1,
  protocolMax: 1,
  software: 'raw',
  role: 'client',
  token: null,
  worker: null,
};

/** The hello of a worker that exists in name only. */
export function workerHello(
  workerId: string,
  fingerprint: string,
  capacityBytes = 1,
): MessageOfKind<'hello'> {
  const worker = { workerId, instance: workerId, capacityBytes, backend: 'raw', fingerprint };
  return { ...CLIENT_HELLO, role: 'worker', worker };
}

const CODES = new Set<string>(ERROR_CODES.map(({ code }) => code));

/** The refusal that ended a connection: the last message, coded, in three parts. */
export async function refusal(peer: RawPeer): Promise<string> {
  const { reason } = await peer.closed;
  const last = peer.messages.at(-1);
  expect(last, `closed because of "${reason}"`).toMatchObject({ kind: 'failure', id: null });
  if (last?.kind !== 'failure') throw new Error('unreachable');
  expect(CODES).toContain(last.code);
  expect(last.message.split('; ').length).toBeGreaterThanOrEqual(3);
  return last.code;
}
