import { createServer } from 'node:net';
import { SUBPROTOCOL } from '@ultramem/protocol';
import type { Connection, Transport } from '@ultramem/transport';
import { transportCases } from '@ultramem/transport/conformance';
import { createBrowserTransport } from '@ultramem/transport-browser';
import { createWsTransport } from '@ultramem/transport-ws';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocketServer } from 'ws';

const HOST = '127.0.0.1';
const browser = createBrowserTransport();
/** Browsers only dial: the other end is the one that they meet in a cluster. */
const transport = (): Transport => ({ connect: browser.connect, listen: createWsTransport().listen });

/** Node has the WebSocket of browsers from 22 on, and with a flag before. */
describe.skipIf(typeof WebSocket === 'undefined')('browser transport', () => {
  for (const { name, run } of transportCases) it(name, () => run(transport()));

  it('dials ws://, http:// and host:port alike', async () => {
    const listener = await transport().listen({ host: HOST, port: 0, onConnection: () => undefined });
    onTestFinished(() => listener.close());
    const { host } = new URL(listener.url);
    for (const url of [`ws://${host}`, `ws://${host}/`, `http://${host}`, host])
      expect((await connect(url)).peerName).toBe(host);
  });

  it.each(['', 'ws://', 'ftp://host:1', 'ws://host:99999', 'ws://host/#part', 'ws://me:secret@host'])(
    'refuses %j',
    async (url) => {
      await expect(connect(url)).rejects.toMatchObject({
        code: 'URL_INVALID',
        message: expect.stringContaining(JSON.stringify(url)),
      });
    },
  );

  it('may try a server again that is silent or something else', async () => {
    const { url } = await socketServer({ handleProtocols: () => false });
    await expect(connect(url)).rejects.toMatchObject({ code: 'CONNECT_FAILED', retriable: true });

    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, HOST, resolve));
    onTestFinished(() => void silent.close());
    const address = silent.address();
    const port = typeof address === 'object' ? address?.port : '';
    await expect(connect(`ws://${HOST}:${port}`, 50)).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('no answer within 50 ms'),
    });
  });

  it('does not listen', async () => {
    await expect(
      browser.listen({ host: HOST, port: 0, onConnection: () => undefined }),
    ).rejects.toMatchObject({ code: 'LISTEN_FAILED' });
  });

  it('ends a connection on which text comes, with a code that pages may send', async () => {
    const { url, server } = await socketServer({ handleProtocols: () => SUBPROTOCOL });
    const code = new Promise<number>((resolve) =>
      server.on('connection', (socket) => {
        socket.on('close', resolve);
        socket.send('hello');
      }),
    );
    const closed = closeOf(await connect(url));
    expect(await closed).toMatch(/text frame/);
    expect(await code).toBe(4003);
  });

  it('waits a second at most for a peer that does not take part in the closing handshake', async () => {
    const { url, server } = await socketServer({ handleProtocols: () => SUBPROTOCOL });
    server.on('connection', (socket) => socket.pause());
    const connection = await connect(url);
    const closed = closeOf(connection);
    connection.close(`${'x'.repeat(200)}ä`);
    expect(await closed).toBe(`${'x'.repeat(200)}ä`);
  });

  it('shortens a long reason between characters', async () => {
    const { url, server } = await socketServer({ handleProtocols: () => SUBPROTOCOL });
    const reason = new Promise<string>((resolve) =>
      server.on('connection', (socket) => socket.on('close', (_, bytes) => resolve(bytes.toString()))),
    );
    (await connect(url)).close(`${'x'.repeat(122)}ä and more`);
    expect(await reason).toBe('x'.repeat(122));
  });
});

function connect(url: string, timeoutMs = 5000): Promise<Connection> {
  return browser.connect(url, { timeoutMs });
}

function closeOf(connection: Connection): Promise<string> {
  connection.onMessage = () => undefined;
  return new Promise((resolve) => {
    connection.onClose = resolve;
  });
}

async function socketServer(
  options: ConstructorParameters<typeof WebSocketServer>[0],
): Promise<{ url: string; server: WebSocketServer }> {
  const server = new WebSocketServer({ host: HOST, port: 0, ...options });
  await new Promise<void>((resolve) => server.once('listening', resolve));
  onTestFinished(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  const address = server.address();
  return { url: `ws://${HOST}:${typeof address === 'object' ? address?.port : ''}`, server };
}
