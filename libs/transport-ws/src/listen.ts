import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { OperatingError } from '@ultramem/invariant';
import { codedError, MESSAGE_BYTES_MAX, SUBPROTOCOL } from '@ultramem/protocol';
import type { Connection, Listener } from '@ultramem/transport';
import { type WebSocket, WebSocketServer } from 'ws';
import { websocketConnection } from './websocket-connection.ts';

export interface ListenOptions {
  host: string;
  port: number;
  onConnection: (connection: Connection) => void;
  strangerBytesMax?: number;
}

/** What the port does besides connections. */
export interface HttpOptions {
  /** Answers a plain HTTP request, or gives false: it then gets 426. By default each does. */
  onHttp?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Origins of pages on other hosts that may dial, such as `https://example.org`. */
  allowedOrigins?: readonly string[];
  /**
   * Any site can have a name of its own point to this machine, and its pages are then of the same host as the port. True lets
   * only pages in that were reached by a loopback name: for ports that ask for no token.
   */
  loopbackNamesOnly?: boolean;
}

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** Accepts WebSockets of our subprotocol. @throws OperatingError PORT_IN_USE, LISTEN_FAILED */
export async function listen(options: ListenOptions, http: HttpOptions = {}): Promise<Listener> {
  const { host, port, onConnection, strangerBytesMax } = options;
  const { onHttp = () => false } = http;
  const server = createServer((request, response) => {
    if (!onHttp(request, response)) askForUpgrade(response);
  });
  const sockets = new WebSocketServer({
    server,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    verifyClient: ({ req }, answer) => {
      const refusal = refusalOf(req, http);
      answer(refusal === null, 400, refusal ?? '');
    },
  });
  const connections = new Set<Connection>();
  sockets.on('connection', (socket, request) => {
    socket.binaryType = 'nodebuffer';
    request.socket.setNoDelay(true);
    if (strangerBytesMax !== undefined) limitStranger(socket, request.socket, strangerBytesMax);
    const { remoteAddress, remotePort } = request.socket;
    const peerName = `${remoteAddress}:${remotePort}`;
    const connection = websocketConnection(socket, request.socket, { peerName, isClient: false });
    connections.add(connection);
    socket.on('close', () => connections.delete(connection));
    onConnection(connection);
  });
  const boundPort = await bound(server, host, port, sockets);
  return {
    url: `ws://${reachable(host)}:${boundPort}`,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      sockets.close();
      for (const connection of connections) connection.close('the listener closed');
      server.closeAllConnections(); // those of plain HTTP: a long answer would hold us up
      await closed;
    },
  };
}

function askForUpgrade(response: ServerResponse): void {
  response.writeHead(426, {
    'content-type': 'text/plain; charset=utf-8',
    upgrade: 'websocket',
    connection: 'close',
  });
  response.end(`This port speaks WebSocket with the subprotocol ${SUBPROTOCOL}; use an UltraMem client.\n`);
}

/** ws has one limit for all messages, up to which a stranger could make us buffer: this one ends with the first message. */
function limitStranger(socket: WebSocket, raw: Socket, bytesMax: number): void {
  let received = 0;
  const count = (chunk: Buffer): void => {
    received += chunk.length;
    if (received > bytesMax) socket.terminate();
  };
  raw.on('data', count);
  socket.once('message', () => raw.off('data', count));
}

/**
 * Null, or why this handshake is refused. A browser sends the origin of the page along, and any page can dial a loopback
 * address: only pages of the same host may, and those that were allowed.
 */
function refusalOf({ headers }: IncomingMessage, http: HttpOptions): string | null {
  const { allowedOrigins = [], loopbackNamesOnly = false } = http;
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  if (!offered.includes(SUBPROTOCOL)) return `expected the subprotocol ${SUBPROTOCOL}`;
  if (headers.origin === undefined || allowedOrigins.includes(headers.origin)) return null;
  const host = `http://${headers.host}`; // whatever the stranger wrote
  if (!URL.canParse(headers.origin) || !URL.canParse(host)) return 'expected a page of the same host';
  const { hostname } = new URL(headers.origin);
  if (hostname !== new URL(host).hostname) return 'expected a page of the same host';
  return loopbackNamesOnly && !LOOPBACK.test(hostname) ? 'expected a page of a loopback name' : null;
}

function bound(server: Server, host: string, port: number, sockets: WebSocketServer): Promise<number> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => reject(listenError(error, host, port));
    // The WebSocketServer hands the server's errors on.
    sockets.on('error', onError);
    server.listen({ host, port }, () => {
      sockets.off('error', onError);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): OperatingError {
  return error.code === 'EADDRINUSE'
    ? codedError(
        'PORT_IN_USE',
        `${host}:${port} is taken; expected a free port; stop the other program, or choose another port (0 picks one)`,
        error,
      )
    : codedError(
        'LISTEN_FAILED',
        `cannot listen on ${host}:${port} (${error.code ?? error.message}); expected an address of this machine and a port that this user may open; choose another`,
        error,
      );
}

/** An address that can be dialled on this machine: a wildcard is none. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
