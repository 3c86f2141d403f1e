import { assert, OperatingError } from '@ultramem/invariant';
import type { Connection, Listener, Transport } from './connection.ts';

/** What every transport must do: run each case against a new transport of yours. A case rejects when it fails. */
export interface TransportCase {
  name: string;
  run(transport: Transport): Promise<void>;
}

export const transportCases: readonly TransportCase[] = [
  { name: 'keeps bytes, boundaries and order in both directions', run: keepsBytesAndOrder },
  { name: 'joins the pieces of one message, and may be handed views', run: joinsPieces },
  { name: 'carries large messages', run: carriesLargeMessages },
  { name: 'counts bytes on both sides', run: countsBytes },
  { name: 'holds what arrives before the handlers are set', run: holdsEarlyMessages },
  { name: 'closes both sides once, with the reason', run: closesBothSides },
  { name: 'delivers what was sent before the close', run: deliversBeforeClose },
  { name: 'ignores sends and closes after the close', run: ignoresAfterClose },
  { name: 'ends every connection when the listener closes', run: listenerEndsConnections },
  { name: 'refuses a port that is taken', run: refusesTakenPort },
  { name: 'fails to connect where nobody listens', run: failsWhereNobodyListens },
  { name: 'refuses a URL it cannot dial', run: refusesForeignUrl },
];

const HOST = '127.0.0.1';
const TIMEOUT_MS = 5000;

async function keepsBytesAndOrder(transport: Transport): Promise<void> {
  const { client, server, listener } = await openPair(transport);
  // Sizes around those at which WebSocket frames and socket reads change their form.
  const sizes = [0, 1, 7, 125, 126, 127, 1000, 65_535, 65_536, 65_537, 5, 300_000, 3];
  for (const [index, size] of sizes.entries()) client.connection.send([pattern(size, index)]);
  for (const [index, size] of sizes.entries()) expectBytes(await server.next(), pattern(size, index));
  server.connection.send([pattern(9, 1)]);
  server.connection.send([pattern(8, 2)]);
  expectBytes(await client.next(), pattern(9, 1));
  expectBytes(await client.next(), pattern(8, 2));
  await listener.close();
}

async function joinsPieces(transport: Transport): Promise<void> {
  const { client, server, listener } = await openPair(transport);
  const whole = pattern(200_000, 3);
  const pieces = [
    whole.subarray(0, 11),
    whole.subarray(11, 11),
    whole.subarray(11, 150_000),
    whole.subarray(150_000),
  ];
  for (const [from, to] of [
    [client, server],
    [server, client],
  ] as const) {
    from.connection.send(pieces);
    from.connection.send([pattern(4, 4)]);
    expectBytes(await to.next(), whole);
    expectBytes(await to.next(), pattern(4, 4));
  }
  expectBytes(whole, pattern(200_000, 3));
  await listener.close();
}

async function carriesLargeMessages(transport: Transport): Promise<void> {
  const { client, server, listener } = await openPair(transport);
  const large = pattern(8 * 2 ** 20, 5);
  client.connection.send([large]);
  server.connection.send([large]);
  expectBytes(await server.next(), large);
  expectBytes(await client.next(), large);
  await listener.close();
}

async function countsBytes(transport: Transport): Promise<void> {
  const { client, server, listener } = await openPair(transport);
  client.connection.send([pattern(10, 0), pattern(20, 0)]);
  await server.next();
  assert(client.connection.sentBytes === 30, 'the sender counts 30 bytes');
  assert(server.connection.receivedBytes === 30, 'the receiver counts 30 bytes');
  assert(
    server.connection.sentBytes === 0 && client.connection.receivedBytes === 0,
    'nothing went the other way',
  );
  assert(client.connection.bufferedBytes === 0, 'what has arrived is not buffered any more');
  assert(
    client.connection.peerName !== '' && server.connection.peerName !== '',
    'both sides name their peer',
  );
  await listener.close();
}

async function holdsEarlyMessages(transport: Transport): Promise<void> {
  const listener = await transport.listen({
    host: HOST,
    port: 0,
    onConnection: (connection) => {
      connection.send([pattern(3, 6)]);
      connection.send([pattern(4, 7)]);
    },
  });
  const client = record(await transport.connect(listener.url, { timeoutMs: TIMEOUT_MS }));
  expectBytes(await client.next(), pattern(3, 6));
  expectBytes(await client.next(), pattern(4, 7));
  await listener.close();
}

async function closesBothSides(transport: Transport): Promise<void> {
  const { client, server, listener } = await openPair(transport);
  client.connection.close('enough for today');
  assert((await server.closed) === 'enough for today', 'the reason reaches the other side');
  assert((await client.closed) === 'enough for today', 'the own close is announced with its reason');
  await listener.close();
  assert(server.closeCount() === 1 && client.closeCount() === 1, 'a close is announced once');
}

async function deliversBeforeClose(transport: Transport): Promise<void> {
  const { client, server, listener } = await openPair(transport);
  client.connection.send([pattern(100_000, 8)]);
  client.connection.send([pattern(5, 9)]);
  client.connection.close('done');
  expectBytes(await server.next(), pattern(100_000, 8));
  expectBytes(await server.next(), pattern(5, 9));
  await server.closed;
  await listener.close();
}

async function ignoresAfterClose(transport: Transport): Promise<void> {
  const { client, server, listener } = await openPair(transport);
  client.connection.close('first');
  client.connection.close('second');
  client.connection.send([pattern(5, 0)]);
  assert((await server.closed) === 'first', 'the first reason counts');
  server.connection.send([pattern(5, 0)]);
  server.connection.close('third');
  await client.closed;
  assert(server.connection.receivedBytes === 0, 'nothing is sent after the close');
  await listener.close();
}

async function listenerEndsConnections(transport: Transport): Promise<void> {
  const { client, server, listener } = await openPair(transport);
  await listener.close();
  await Promise.all([client.closed, server.closed]);
  await expectCode('CONNECT_FAILED', transport.connect(listener.url, { timeoutMs: TIMEOUT_MS }));
}

async function refusesTakenPort(transport: Transport): Promise<void> {
  const listener = await transport.listen({ host: HOST, port: 0, onConnection: () => undefined });
  const port = Number(/\d+$/.exec(listener.url)?.[0]);
  await expectCode('PORT_IN_USE', transport.listen({ host: HOST, port, onConnection: () => undefined }));
  await listener.close();
  const again = await transport.listen({ host: HOST, port, onConnection: () => undefined });
  await again.close();
}

async function failsWhereNobodyListens(transport: Transport): Promise<void> {
  const listener = await transport.listen({ host: HOST, port: 0, onConnection: () => undefined });
  await listener.close();
  await expectCode('CONNECT_FAILED', transport.connect(listener.url, { timeoutMs: TIMEOUT_MS }));
}

async function refusesForeignUrl(transport: Transport): Promise<void> {
  await expectCode('URL_INVALID', transport.connect('ftp://example.org/', { timeoutMs: TIMEOUT_MS }));
}

async function openPair(
  transport: Transport,
): Promise<{ client: Recorder; server: Recorder; listener: Listener }> {
  let accept: (server: Recorder) => void = () => undefined;
  const accepted = new Promise<Recorder>((resolve) => {
    accept = resolve;
  });
  const listener = await transport.listen({
    host: HOST,
    port: 0,
    onConnection: (connection) => accept(record(connection)),
  });
  const client = record(await transport.connect(listener.url, { timeoutMs: TIMEOUT_MS }));
  return { client, server: await accepted, listener };
}

interface Recorder {
  connection: Connection;
  /** The next message, waiting for it. Rejects when the connection ends instead. */
  next(): Promise<Uint8Array>;
  closed: Promise<string>;
  closeCount(): number;
}

function record(connection: Connection): Recorder {
  const arrived: Uint8Array[] = [];
  let wake = (): void => undefined;
  let closeCount = 0;
  const closed = new Promise<string>((resolve) => {
    connection.onClose = (reason) => {
      closeCount++;
      resolve(reason);
      wake();
    };
  });
  connection.onMessage = (message) => {
    arrived.push(message);
    wake();
  };
  const next = async (): Promise<Uint8Array> => {
    while (arrived.length === 0) {
      assert(closeCount === 0, 'a message comes before the close');
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const [message] = arrived.splice(0, 1);
    assert(message !== undefined, 'there is a message');
    return message;
  };
  return { connection, next, closed, closeCount: () => closeCount };
}

/** Bytes that tell a shifted, truncated or foreign message from the right one. */
function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = i * 31 + (i >>> 8) * 7 + seed * 101;
  return bytes;
}

function expectBytes(actual: Uint8Array, expected: Uint8Array): void {
  assert(actual.length === expected.length, `the message has ${expected.length} bytes, not ${actual.length}`);
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  assert(at < 0, `byte ${at} of ${expected.length} is as it was sent`);
}

async function expectCode(code: string, promise: Promise<unknown>): Promise<void> {
  const outcome = await promise.then(
    () => 'success',
    (error: unknown) => (error instanceof OperatingError ? error.code : String(error)),
  );
  assert(outcome === code, `the outcome is ${code}, not ${outcome}`);
}
