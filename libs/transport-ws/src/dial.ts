import type { OperatingError } from '@ultramem/invariant';
import { codedError, MESSAGE_BYTES_MAX, SUBPROTOCOL } from '@ultramem/protocol';
import type { Connection } from '@ultramem/transport';
import { WebSocket } from 'ws';
import { websocketConnection } from './websocket-connection.ts';
import { websocketUrl } from './websocket-url.ts';

/** Errors of the network: nobody there, or nobody in time. Everything else means that something else is there. */
const NOBODY = /^(ECONN|ENOTFOUND|EAI_|EHOST|ENET|ETIMEDOUT|EADDRNOTAVAIL|EPIPE)/;

/** Opens a WebSocket to a listener. @throws OperatingError CONNECT_FAILED, NOT_A_COORDINATOR, URL_INVALID */
export async function dial(url: string, { timeoutMs }: { timeoutMs: number }): Promise<Connection> {
  const dialled = websocketUrl(url);
  const socket = new WebSocket(dialled, [SUBPROTOCOL], {
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX,
    handshakeTimeout: timeoutMs,
    // Masking protects proxies from web pages, which cannot run this; ws skips the work for a mask of zeros.
    generateMask: (mask) => {
      mask.fill(0);
    },
  });
  socket.binaryType = 'nodebuffer';
  return new Promise((resolve, reject) => {
    let isOpen = false;
    // Both come in one turn of the event loop, so no message slips by.
    socket.once('upgrade', ({ socket: raw }) => {
      raw.setNoDelay(true);
      socket.once('open', () => {
        isOpen = true;
        resolve(websocketConnection(socket, raw, { peerName: new URL(dialled).host, isClient: true }));
      });
    });
    socket.once('unexpected-response', (request, response) => {
      reject(somethingElse(url, `HTTP ${response.statusCode}`));
      request.destroy();
    });
    socket.on('error', (error) => {
      if (!isOpen) reject(refused(url, error, timeoutMs));
    });
  });
}

function refused(url: string, error: Error, timeoutMs: number): OperatingError {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const isLate = error.message === 'Opening handshake has timed out';
  if (!isLate && !NOBODY.test(code)) return somethingElse(url, error.message, error);
  const why = isLate ? `no answer within ${timeoutMs} ms` : code;
  return codedError(
    'CONNECT_FAILED',
    `cannot connect to ${url} (${why}); expected a coordinator there; start it, or correct the address`,
    error,
  );
}

function somethingElse(url: string, answer: string, cause?: Error): OperatingError {
  return codedError(
    'NOT_A_COORDINATOR',
    `something else answers at ${url} (${answer}); expected a WebSocket server of protocol ${SUBPROTOCOL}; correct the address`,
    cause,
  );
}
