import type { NoticeKind, RequestKind } from '@ultramem/protocol';
import { type ChannelOptions, openChannel } from '@ultramem/transport';
import { expect, it, onTestFinished } from 'vitest';
import { createWsTransport } from './ws-transport.ts';

// Small messages arrive unaligned in the pool of a socket read, large ones aligned in memory of their own.
it.each([0, 1, 3, 60, 1000, 4095, 4096, 20_000, 1_000_000])(
  'tensors of %i numbers survive a real socket',
  async (entryCount) => {
    const { transport, options } = setUp();
    const listener = await transport.listen({
      host: '127.0.0.1',
      port: 0,
      onConnection: (connection) => openChannel({ ...options, connection }),
    });
    onTestFinished(() => listener.close());
    const client = openChannel({
      ...options,
      connection: await transport.connect(listener.url, { timeoutMs: 5000 }),
    });
    const weight = Float32Array.from({ length: entryCount }, (_, i) => i / 3);
    const requests = [0, 1, 2].map((layer) =>
      client.request(
        {
          kind: 'pool',
          epoch: 1,
          layer,
          tokenCount: 1,
          blockCount: 1,
          coreCount: 1,
          activation: false,
          encoding: 'f32',
          entryStart: Uint32Array.of(0, entryCount),
          slot: new Uint32Array(entryCount),
          block: new Uint8Array(entryCount),
          weight,
          preQuery: new Float32Array(0),
        },
        { deadlineMs: 10_000 },
      ),
    );
    const answers = await Promise.all(requests);
    for (const [layer, { pooled, computeMs }] of answers.entries()) {
      expect(computeMs).toBe(layer);
      expect(Buffer.compare(bytesOf(pooled), bytesOf(weight))).toBe(0); // toEqual takes seconds for a million
    }
    client.close('done');
  },
);

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  Buffer.from(buffer, byteOffset, byteLength);

const clock: ChannelOptions['clock'] = {
  nowMs: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs);
    return () => clearTimeout(timer);
  },
  breathe: () => new Promise((resolve) => setImmediate(resolve)),
};

function setUp(): {
  transport: ReturnType<typeof createWsTransport>;
  options: Omit<ChannelOptions, 'connection'>;
} {
  return {
    transport: createWsTransport(),
    options: {
      clock,
      accepts: new Set<RequestKind | NoticeKind>(['pool']),
      serve: async (request) => {
        if (request.kind !== 'pool') throw new Error(request.kind);
        return {
          kind: 'pooled',
          computeMs: request.layer,
          encoding: 'f32',
          pooled: request.weight,
          packed: new Uint8Array(0),
        };
      },
      onNotice: () => undefined,
      onClose: () => undefined,
      onDefect: (error) => {
        throw error;
      },
    },
  };
}
