import { connect as connectTcp } from 'node:net';
import type { ChildProgram } from '@ultramem/local-cluster';
import { KINDS, type Message, SUBPROTOCOL } from '@ultramem/protocol';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readRecordings } from '../../libs/protocol/fixtures/recordings.ts';
import { hostileBytes } from './mutations.ts';
import { ODD_REQUESTS } from './odd-requests.ts';
import { connect, expectRightAnswers, peakBytes, startCoordinator, startWorker, until } from './programs.ts';
import { CLIENT_HELLO, dialRaw, type RawPeer, refusal, workerHello } from './raw-peer.ts';

const SEED = 20_260_730;
const MIB = 2 ** 20;
/** What a coordinator may grow by while strangers attack it: far below one message of the largest size. */
const GROWTH_BYTES_MAX = 150 * MIB;
const recordings = readRecordings();
const FROM_CLIENTS = ['generate', 'evaluate', 'tokenize', 'explain', 'status', 'leave', 'cancel', 'failure'];

function handshake(headers: Record<string, string>): string {
  const lines = Object.entries({
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    'Sec-WebSocket-Protocol': SUBPROTOCOL,
    ...headers,
  });
  return `GET / HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

/** Connects, writes, and hangs up when something came back or the other side did. */
function sendTcp(url: string, text: string, waits = true): Promise<void> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connectTcp(Number(port), hostname, () => {
      socket.write(text, 'latin1', () => {
        if (!waits) socket.destroy();
      });
    });
    socket.on('data', () => socket.destroy());
    socket.on('error', () => socket.destroy()); // a reset is as good as an end
    socket.on('close', () => resolve());
  });
}

describe('a coordinator process', () => {
  let coordinator: ChildProgram;
  let worker: ChildProgram;
  let url: string;
  let fingerprint: string;
  let mute: RawPeer;
  beforeAll(async () => {
    coordinator = startCoordinator();
    ({ url } = await coordinator.message('listening'));
    mute = await dialRaw(url);
    worker = startWorker(url, ['--id', 'worker-0']);
    await coordinator.message('ready');
    const client = await connect(url);
    ({ fingerprint } = (await client.status()).cluster);
    client.close();
    await expectRightAnswers(url);
  });
  afterEach(() => expectRightAnswers(url));
  afterAll(async () => {
    await worker?.stop();
    await coordinator?.stop();
  });

  const greeted = async (greeting: Message): Promise<RawPeer> => {
    const peer = await dialRaw(url);
    peer.send(greeting);
    await peer.next(({ kind }) => kind === 'welcome');
    return peer;
  };

  it('refuses noise and damaged messages with a code, from strangers, clients and workers', async () => {
    let workers = 0;
    const role = fc.constantFrom('stranger', 'client', 'worker');
    const payloads = fc.array(hostileBytes(), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(role, payloads, async (who, sent) => {
        const greeting = who === 'client' ? CLIENT_HELLO : workerHello(`raw-${workers++}`, fingerprint);
        const peer = who === 'stranger' ? await dialRaw(url) : await greeted(greeting);
        for (const bytes of sent) peer.sendBytes(bytes);
        peer.send({ kind: 'leave', reason: 'done' });
        const { reason } = await peer.closed;
        const saidGoodbye = sent.length > 0 && !/^[A-Z_]+(:|$)/.test(reason);
        if (!saidGoodbye || who === 'stranger') await refusal(peer);
        expect(
          peer.messages.filter((message) => message.kind === 'failure' && message.code === 'INTERNAL'),
        ).toEqual([]);
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  it.each(recordings.filter(({ kind }) => kind !== 'hello'))(
    'refuses $kind before a hello',
    async ({ bytes }) => {
      const peer = await dialRaw(url);
      peer.sendBytes(bytes);
      expect(await refusal(peer)).toBe('UNEXPECTED_MESSAGE');
    },
  );

  it.each(KINDS.filter((kind) => !FROM_CLIENTS.includes(kind)))(
    'refuses "%s" from a client',
    async (kind) => {
      const peer = await greeted(CLIENT_HELLO);
      peer.sendBytes(recordings.find((recording) => recording.kind === kind)!.bytes);
      expect(await refusal(peer)).toBe('UNEXPECTED_MESSAGE');
    },
  );

  it.each(ODD_REQUESTS)('answers $name', async ({ request, answer }) => {
    const peer = await greeted(CLIENT_HELLO);
    peer.send(request);
    const got = await peer.next(({ kind }) => kind === 'failure' || kind === answer);
    expect(got.kind === 'failure' ? got.code : got.kind).toBe(answer);
    peer.socket.close();
  });

  it('refuses text frames, other versions and other checkpoints', async () => {
    const text = await dialRaw(url);
    text.socket.send('hello');
    expect(await text.closed).toEqual({ code: 1003, reason: 'a text frame arrived; expected binary frames' });
    const newer = await dialRaw(url);
    newer.send({ ...CLIENT_HELLO, protocolMin: 2, protocolMax: 3 });
    expect(await refusal(newer)).toBe('PROTOCOL_VERSION');
    const other = await dialRaw(url);
    other.send(workerHello('other', 'another checkpoint'));
    expect(await refusal(other)).toBe('CHECKPOINT_MISMATCH');
  });

  it('takes a hello in fragments of one byte', async () => {
    const peer = await dialRaw(url);
    const bytes = recordings.find(({ message }) => message.kind === 'status')!.bytes;
    peer.send(CLIENT_HELLO);
    for (const [i, byte] of bytes.entries())
      peer.socket.send(Uint8Array.of(byte), { binary: true, fin: i === bytes.length - 1 });
    await peer.next(({ kind }) => kind === 'cluster-status');
    peer.socket.close();
  });

  it('holds little of what strangers send, whatever they announce', async () => {
    const before = peakBytes(coordinator);
    const endless = new Uint8Array(60 * MIB);
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        const peer = await dialRaw(url);
        peer.socket.send(endless, { binary: true });
        await peer.closed;
      }),
    );
    expect(peakBytes(coordinator) - before).toBeLessThan(GROWTH_BYTES_MAX);
  });

  it('refuses a first message that is too long, with a code', async () => {
    const peer = await dialRaw(url);
    peer.sendBytes(new Uint8Array(20_000));
    expect(await refusal(peer)).toBe('MESSAGE_TOO_LARGE');
  });

  it('hangs up on a client that asks and never reads', async () => {
    const before = peakBytes(coordinator);
    const peer = await greeted(CLIENT_HELLO);
    peer.socket.pause();
    const text = 'x'.repeat(2 * MIB); // answered by 8 MiB
    let id = 0;
    const ask = (asked: string): void =>
      peer.send({ kind: 'tokenize', id: id++, deadlineMs: 1000, text: asked });
    for (let i = 0; i < 12; i++) ask(text);
    await until(() => {
      for (let i = 0; i < 100; i++) ask('');
      return peer.socket.readyState !== peer.socket.OPEN;
    }, 'the coordinator hangs up');
    expect(peakBytes(coordinator) - before).toBeLessThan(4 * GROWTH_BYTES_MAX);
  });

  it('survives connections that are opened and dropped by the thousand', async () => {
    const before = peakBytes(coordinator);
    for (let round = 0; round < 20; round++) {
      await Promise.all(Array.from({ length: 50 }, async () => (await dialRaw(url)).socket.terminate()));
      await Promise.all(Array.from({ length: 50 }, () => sendTcp(url, 'GET / HT', false)));
    }
    expect(peakBytes(coordinator) - before).toBeLessThan(GROWTH_BYTES_MAX);
  });

  it.each([
    { name: 'noise', text: '\u0000\u0001garbage\r\n\r\n' },
    { name: 'a plain request', text: 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' },
    { name: 'a host that is no host', text: handshake({ Host: '[', Origin: 'http://localhost' }) },
    { name: 'an origin that is no URL', text: handshake({ Host: 'localhost', Origin: '[' }) },
    { name: 'no key', text: handshake({ Host: 'x', 'Sec-WebSocket-Key': 'short' }) },
    { name: 'frames that are no frames', text: `${handshake({ Host: 'x' })}\u00ff\u00ff\u00ff\u00ff` },
  ])('survives TCP that sends $name', async ({ text }) => {
    await sendTcp(url, text);
  });

  it('refuses a stranger who says nothing for 10 s', async () => {
    expect(await refusal(mute)).toBe('DEADLINE_EXCEEDED');
  });
});
