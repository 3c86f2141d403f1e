import { codedError, SUBPROTOCOL } from '@ultramem/protocol';
import type { Connection } from '@ultramem/transport';
import { socketConnection } from './socket-connection.ts';
import { websocketUrl } from './websocket-url.ts';

/**
 * Opens a WebSocket to a coordinator. A browser hides from pages why a connection failed, so whatever keeps it from opening is
 * CONNECT_FAILED, and may be tried again.
 *
 * @throws OperatingError CONNECT_FAILED, URL_INVALID
 */
export function dial(url: string, { timeoutMs }: { timeoutMs: number }): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const socket = open(url);
    const fail = (why: string): void => {
      clearTimeout(timer);
      reject(
        codedError(
          'CONNECT_FAILED',
          `cannot connect to ${url} (${why}); expected a coordinator there that lets this page in; start it, correct the address, or start it with --allow-origin`,
        ),
      );
    };
    const timer = setTimeout(() => {
      fail(`no answer within ${Math.round(timeoutMs)} ms`);
      socket.close();
    }, timeoutMs);
    socket.onerror = () => fail('the browser does not say why');
    socket.onopen = () => {
      clearTimeout(timer);
      socket.onerror = null;
      resolve(socketConnection(socket, new URL(socket.url).host));
    };
  });
}

/** @throws OperatingError URL_INVALID, also for ws:// on a page that came by https://, which browsers forbid */
function open(url: string): WebSocket {
  const dialled = websocketUrl(url);
  try {
    const socket = new WebSocket(dialled, [SUBPROTOCOL]);
    socket.binaryType = 'arraybuffer';
    return socket;
  } catch (cause) {
    throw codedError(
      'URL_INVALID',
      `${JSON.stringify(url)} may not be dialled from this page (${cause instanceof Error ? cause.message : cause}); expected wss:// on a page of https://; correct it`,
      cause,
    );
  }
}
