import { codedError } from '@ultramem/protocol';
import type { Connection, Transport } from './connection.ts';
import { connectionOver } from './connection-over.ts';
import { createInbox, type Inbox } from './inbox.ts';

/**
 * Endpoints `memory:<port>` that only this transport knows. Messages are copied when sent and arrive in later
 * microtasks, in order.
 */
export function createMemoryTransport(): Transport {
  const listeners = new Map<number, (name: string) => Connection>();
  let connectionCount = 0;
  return {
    connect: async (url) => {
      const match = /^memory:(\d+)$/.exec(url);
      if (match === null)
        throw codedError(
          'URL_INVALID',
          `${JSON.stringify(url)} is no URL of this transport; expected memory:<number>; take the URL of a listener`,
        );
      const accept = listeners.get(Number(match[1]));
      if (accept === undefined)
        throw codedError('CONNECT_FAILED', `nobody listens at ${url}; expected a listener; start it first`);
      connectionCount++;
      return accept(`memory-client:${connectionCount}`);
    },
    listen: async ({ port: wantedPort, onConnection }) => {
      const port = wantedPort === 0 ? Math.max(0, ...listeners.keys()) + 1 : wantedPort;
      if (listeners.has(port))
        throw codedError(
          'PORT_IN_USE',
          `memory:${port} has a listener; expected a free number; take 0 for the next one`,
        );
      const url = `memory:${port}`;
      const accepted: Connection[] = [];
      listeners.set(port, (clientName) => {
        const [client, server] = createPair(url, clientName);
        accepted.push(server);
        onConnection(server);
        return client;
      });
      return {
        url,
        close: async () => {
          listeners.delete(port);
          for (const connection of accepted.splice(0)) connection.close('the listener closed');
        },
      };
    },
  };
}

function createPair(serverName: string, clientName: string): [Connection, Connection] {
  const clientInbox = createInbox();
  const serverInbox = createInbox();
  return [createEnd(serverName, clientInbox, serverInbox), createEnd(clientName, serverInbox, clientInbox)];
}

function createEnd(peerName: string, own: Inbox, peer: Inbox): Connection {
  let bufferedBytes = 0;
  let isOpen = true;
  return connectionOver(own, {
    peerName,
    send: (pieces) => {
      if (!isOpen || own.isClosed) return 0;
      const message = concatenate(pieces);
      bufferedBytes += message.length;
      later(() => {
        bufferedBytes -= message.length;
        peer.deliver(message);
      });
      return message.length;
    },
    close: (reason) => {
      if (!isOpen) return;
      isOpen = false;
      later(() => {
        own.close(reason);
        peer.close(reason);
      });
    },
    bufferedBytes: () => bufferedBytes,
  });
}

/** Microtasks run in the order in which they were queued, so messages keep theirs. */
function later(action: () => void): void {
  void Promise.resolve().then(action);
}

function concatenate(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let position = 0;
  for (const piece of pieces) {
    whole.set(piece, position);
    position += piece.length;
  }
  return whole;
}
