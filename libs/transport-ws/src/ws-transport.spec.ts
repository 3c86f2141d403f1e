import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer } from 'node:net';
import { SUBPROTOCOL } from '@ultramem/protocol';
import type { Connection, Listener } from '@ultramem/transport';
import { transportCases } from '@ultramem/transport/conformance';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { createWsTransport } from './ws-transport.ts';

const HOST = '127.0.0.1';
const transport = createWsTransport();

describe('websocket transport', () => {
  for (const { name, run } of transportCases) it(name, () => run(createWsTransport()));
});

describe('listening', () => {
  it('cuts a stranger who sends more than a first message may hold', async () => {
    const listener = await transport.listen({
      host: HOST,
      port: 0,
      onConnection: () => undefined,
      strangerBytesMax: 1000,
    });
    onTestFinished(() => listener.close());
    const connection = await connect(listener.url);
    const closed = new Promise<string>((resolve) => {
      connection.onMessage = () => undefined;
      connection.onClose = resolve;
    });
    connection.send([new Uint8Array(100_000)]);
    expect(await closed).toBe('WebSocket code 1006');
  });
});

describe('connecting', () => {
  it('dials ws://, http:// and host:port alike', async () => {
    const { url } = await listenFor(() => undefined);
    for (const form of [url, `${url}/`, url.replace('ws:', 'http:'), url.replace('ws://', '')]) {
      const connection = await connect(form);
      expect(connection.peerName).toBe(url.replace('ws://', ''));
    }
  });

  it.each([
    '',
    'ws://',
    'ftp://host:1',
    'ws://host:99999',
    'ws://host/#part',
    'ws://me:secret@host',
    'not a url',
  ])('refuses %j', async (url) => {
    await expect(connect(url)).rejects.toMatchObject({
      code: 'URL_INVALID',
      message: expect.stringContaining(JSON.stringify(url)),
    });
  });

  it('says when something else answers', async () => {
    const answers = await httpServer(createServer((_request, response) => response.end('hello')));
    await expect(connect(answers)).rejects.toMatchObject({
      code: 'NOT_A_COORDINATOR',
      message: expect.stringContaining('HTTP 200'),
    });

    const noise = await tcpServer('220 mail.example.org ready\r\n\r\n');
    await expect(connect(noise)).rejects.toMatchObject({ code: 'NOT_A_COORDINATOR' });

    const other = createServer();
    const sockets = new WebSocketServer({ server: other, handleProtocols: () => false });
    onTestFinished(() => void sockets.close());
    await expect(connect(await httpServer(other))).rejects.toMatchObject({ code: 'NOT_A_COORDINATOR' });
  });

  it('gives up on a silent server, and may be tried again', async () => {
    const silent = await tcpServer(null);
    await expect(connect(silent, 50)).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
      retriable: true,
      message: expect.stringContaining('no answer within 50 ms'),
    });
  });

  it('does not reach an unknown host', async () => {
    await expect(connect('ws://no-such-host.invalid:1', 2000)).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
    });
  });
});

describe('listening', () => {
  it('answers a plain HTTP request with one line', async () => {
    const { url } = await listenFor(() => undefined);
    const response = await fetch(url.replace('ws:', 'http:'));
    expect(response.status).toBe(426);
    expect(await response.text()).toMatch(/^This port speaks WebSocket [^\n]*\n$/);
  });

  it('hands plain HTTP to who wants it, and answers the rest as before', async () => {
    const withHttp = createWsTransport({
      onHttp: ({ url }, response) => {
        if (url !== '/mine') return false;
        response.end('taken');
        return true;
      },
    });
    const listener = await withHttp.listen({ host: HOST, port: 0, onConnection: () => undefined });
    onTestFinished(() => listener.close());
    const base = listener.url.replace('ws:', 'http:');
    expect(await (await fetch(`${base}/mine`)).text()).toBe('taken');
    expect((await fetch(`${base}/other`)).status).toBe(426);
    expect(await handshake(listener.url, [SUBPROTOCOL], {})).toBe('open');
  });

  it('does not wait for a long answer when it closes', async () => {
    const asked = deferred<void>();
    const withHttp = createWsTransport({
      onHttp: (_request, response) => {
        response.write('the first part');
        asked.resolve();
        return true;
      },
    });
    const listener = await withHttp.listen({ host: HOST, port: 0, onConnection: () => undefined });
    const answer = fetch(listener.url.replace('ws:', 'http:')).then((response) => response.text());
    await asked.promise;
    await Promise.all([listener.close(), expect(answer).rejects.toThrow()]);
  });

  it('lets in pages of the other hosts that it was told', async () => {
    const allowing = createWsTransport({ allowedOrigins: ['https://example.org'] });
    const { url, close } = await allowing.listen({ host: HOST, port: 0, onConnection: () => undefined });
    onTestFinished(close);
    expect(await handshake(url, [SUBPROTOCOL], { origin: 'https://example.org' })).toBe('open');
    for (const origin of ['https://example.org:444', 'http://example.org', 'https://a.example.org'])
      expect(await handshake(url, [SUBPROTOCOL], { origin })).toBe(400);
  });

  it('takes no other name for this machine where it was told so', async () => {
    const wary = createWsTransport({ loopbackNamesOnly: true });
    const { url, close } = await wary.listen({ host: HOST, port: 0, onConnection: () => undefined });
    onTestFinished(close);
    const from = (name: string) =>
      handshake(url, [SUBPROTOCOL], { origin: `http://${name}:7420`, host: `${name}:7420` });
    for (const name of ['localhost', '127.0.0.1', '[::1]']) expect(await from(name)).toBe('open');
    for (const name of ['rebound.example.org', 'localhost.example.org', '127.0.0.1.example.org'])
      expect(await from(name)).toBe(400);
    expect(await handshake(url, [SUBPROTOCOL], { host: 'proxied.example.org' })).toBe('open');
  });

  it('refuses an address of another machine', async () => {
    await expect(
      transport.listen({ host: '192.0.2.1', port: 0, onConnection: () => undefined }),
    ).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining('192.0.2.1:0'),
    });
  });

  it('names a loopback address when it listens on all', async () => {
    const listener = await transport.listen({ host: '0.0.0.0', port: 0, onConnection: () => undefined });
    onTestFinished(() => listener.close());
    expect(listener.url).toMatch(/^ws:\/\/127\.0\.0\.1:\d+$/);
  });

  it('refuses other subprotocols and pages of other hosts', async () => {
    const { url } = await listenFor(() => undefined);
    expect(await handshake(url, ['other.v1'], {})).toBe(400);
    expect(await handshake(url, [], {})).toBe(400);
    expect(await handshake(url, [SUBPROTOCOL], { origin: 'https://example.org' })).toBe(400);
    expect(await handshake(url, [SUBPROTOCOL], { origin: 'null' })).toBe(400);
    expect(await handshake(url, [SUBPROTOCOL], { origin: 'http://x', host: '[' })).toBe(400);
    expect(await handshake(url, [SUBPROTOCOL], { origin: 'http://127.0.0.1:9999' })).toBe('open');
    expect(await handshake(url, [SUBPROTOCOL], {})).toBe('open');
  });

  it('ends a connection that sends text', async () => {
    const closed = deferred<string>();
    const { url } = await listenFor((connection) => {
      connection.onMessage = () => closed.resolve('a message');
      connection.onClose = closed.resolve;
    });
    const client = new WebSocket(url, [SUBPROTOCOL]);
    const code = deferred<number>();
    client.on('close', code.resolve);
    client.on('open', () => client.send('hello'));
    expect(await closed.promise).toMatch(/text frame/);
    expect(await code.promise).toBe(1003);
  });

  it('ends a connection whose message is announced as too large', async () => {
    const closed = deferred<string>();
    const { url } = await listenFor((connection) => {
      connection.onMessage = () => undefined;
      connection.onClose = closed.resolve;
    });
    const client = new WebSocket(url, [SUBPROTOCOL]);
    client.on('error', () => undefined);
    client.on('open', () => {
      // The header of a final, masked binary frame of 2^32 bytes.
      const tcp: unknown = Reflect.get(client, '_socket');
      if (tcp instanceof Object && 'write' in tcp && typeof tcp.write === 'function')
        tcp.write(Uint8Array.of(0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0));
    });
    expect(await closed.promise).toBe('Max payload size exceeded');
  });

  it('ends a connection that pings and does not read', async () => {
    const accepted = deferred<Connection>();
    const { url } = await listenFor(accepted.resolve);
    const client = new WebSocket(url, [SUBPROTOCOL]);
    onTestFinished(() => client.terminate());
    const connection = await accepted.promise;
    const closed = deferred<string>();
    connection.onMessage = () => undefined;
    connection.onClose = closed.resolve;
    await new Promise((resolve) => client.once('open', resolve));
    client.pause();
    connection.send([new Uint8Array(80 * 2 ** 20)]); // more than the kernel takes, too
    client.ping();
    expect(await closed.promise).toBe('pings came and nothing was read');
  });

  it('cuts a peer that does not take part in the closing handshake', async () => {
    const accepted = deferred<Connection>();
    const { url, port } = await listenFor(accepted.resolve);
    const tcp = connectTcp(port, HOST);
    onTestFinished(() => void tcp.destroy());
    tcp.write(
      `GET / HTTP/1.1\r\nHost: ${url}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n\r\n`,
    );
    const connection = await accepted.promise;
    const closed = deferred<string>();
    connection.onMessage = () => undefined;
    connection.onClose = closed.resolve;
    connection.close(`${'x'.repeat(200)}ä`);
    expect(await closed.promise).toBe(`${'x'.repeat(200)}ä`);
  });

  it('shortens a long reason between characters', async () => {
    const { url } = await listenFor((connection) => {
      connection.onMessage = () => undefined;
      connection.onClose = () => undefined;
      connection.close(`${'x'.repeat(122)}ä and more`);
    });
    const connection = await connect(url);
    const closed = deferred<string>();
    connection.onMessage = () => undefined;
    connection.onClose = closed.resolve;
    expect(await closed.promise).toBe('x'.repeat(122));
  });
});

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

function connect(url: string, timeoutMs = 5000): Promise<Connection> {
  return transport.connect(url, { timeoutMs });
}

async function listenFor(
  onConnection: (connection: Connection) => void,
): Promise<Listener & { port: number }> {
  const listener = await transport.listen({ host: HOST, port: 0, onConnection });
  onTestFinished(() => listener.close());
  return { ...listener, port: Number(new URL(listener.url).port) };
}

async function httpServer(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  onTestFinished(() => void server.close());
  return `${HOST}:${portOf(server.address())}`;
}

/** Says `greeting`, or nothing, to whoever connects. */
async function tcpServer(greeting: string | null): Promise<string> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => socket.destroy());
    if (greeting !== null) socket.end(greeting);
  });
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  onTestFinished(() => void server.close());
  return `${HOST}:${portOf(server.address())}`;
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function handshake(
  url: string,
  protocols: string[],
  headers: Record<string, string>,
): Promise<number | 'open' | undefined> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, protocols, { headers });
    socket.on('error', () => undefined);
    socket.on('open', () => {
      resolve('open');
      socket.terminate();
    });
    socket.on('unexpected-response', (_request, response) => {
      resolve(response.statusCode);
      socket.terminate();
    });
  });
}
