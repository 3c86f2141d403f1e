import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ByteSource, CheckpointDirectory } from '@ultramem/checkpoint';
import { type Clock, createRandom } from '@ultramem/environment';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { httpDirectory } from './http-directory.ts';

const BYTES = Uint8Array.from({ length: 50_000 }, (_, i) => i * 13 + (i >>> 8));
const ETAG = '"v1"';
const PATIENCE_MS = 20_000;

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

let pauses: number[];
beforeEach(() => {
  pauses = [];
});

/** Pauses pass at once and are noted; patience never ends by itself. */
const hurried: Clock = {
  nowMs: () => 0,
  after: (delayMs, action) => {
    if (delayMs < PATIENCE_MS) {
      pauses.push(delayMs);
      setImmediate(action);
    }
    return () => undefined;
  },
  breathe: () => Promise.resolve(),
};

describe('text', () => {
  it('is read whole, and null where there is none', async () => {
    const directory = await serving(byPath({ '/m/config.json': (_, response) => response.end('{"ä": 1}') }));
    expect(await directory.readText('config.json')).toBe('{"ä": 1}');
    expect(await directory.readText('tokenizer.json')).toBeNull();
  });

  it('must be UTF-8, and not endless', async () => {
    const directory = await serving(
      byPath({
        '/m/bad.json': (_, response) => response.end(Buffer.of(0xff, 0xfe)),
        '/m/long.json': (_, response) => response.writeHead(200, { 'content-length': 2e8 }).flushHeaders(),
        '/m/chunked.json': (_, response) => response.write('no length'),
      }),
    );
    await expect(directory.readText('bad.json')).rejects.toMatchObject({ code: 'CHECKPOINT_INVALID' });
    await expect(directory.readText('long.json')).rejects.toMatchObject({ code: 'CHECKPOINT_INVALID' });
    await expect(directory.readText('chunked.json')).rejects.toMatchObject({
      code: 'CHECKPOINT_READ_FAILED',
    });
  });
});

describe('a file', () => {
  it('is read by range', async () => {
    const asked: (string | undefined)[] = [];
    const source = await opened((request, response) => {
      asked.push(request.headers.range, request.headers['if-range'] as string, request.headers.authorization);
      goodFile(request, response);
    });
    expect(source.byteCount).toBe(BYTES.length);
    expect(source.path).toBeNull();
    asked.length = 0;
    const bytes = await source.read(1000, 300);
    expect(Buffer.compare(bytes, BYTES.subarray(1000, 1300))).toBe(0);
    expect(bytes.byteOffset % 8).toBe(0);
    expect(asked).toEqual(['bytes=1000-1299', ETAG, 'Bearer secret']);
    expect(await source.read(0, 0)).toEqual(new Uint8Array(0));
    expect(Buffer.compare(await source.read(0, BYTES.length), BYTES)).toBe(0);
    await expect(source.read(BYTES.length - 1, 2)).rejects.toThrow('inside its bounds');
    await source.close();
    await expect(source.read(0, 1)).rejects.toThrow('after it was closed');
  });

  it('is null where there is none', async () => {
    const directory = await serving(byPath({}));
    expect(await directory.open('model.safetensors')).toBeNull();
  });

  it('is not read from a server that takes no ranges', async () => {
    const directory = await serving((_, response) => response.end());
    await expect(directory.open('x')).rejects.toMatchObject({ code: 'CHECKPOINT_READ_FAILED' });
  });

  it.each<[string, Answer]>([
    ['came whole', (_, response) => response.end(BYTES)],
    ['is gone', (_, response) => response.writeHead(404).end()],
    ['got shorter', (_, response) => response.writeHead(416).end()],
    ['moved', (_, response) => response.writeHead(304).end()],
    ['came in part without a range', (_, response) => response.writeHead(206).end(BYTES.subarray(0, 100))],
    ['came with another range', ranged('bytes 1-100/50000', 100)],
    ['came with a longer range', ranged('bytes 0-100/50000', 101)],
    ['has another length', ranged('bytes 0-99/50001', 100)],
    ['came with more than its range', ranged('bytes 0-99/50000', 101)],
    ['came with less than its range', ranged('bytes 0-99/50000', 99)],
    ['has no end', (_, response) => response.writeHead(206, RANGE_0_99).write('x')],
  ])('that %s is refused', async (_, answer) => {
    const source = await opened((request, response) =>
      request.method === 'HEAD' ? goodFile(request, response) : answer(request, response),
    );
    await expect(source.read(0, 100)).rejects.toMatchObject({
      code: 'CHECKPOINT_READ_FAILED',
      message: expect.stringContaining('/m/model.safetensors'),
    });
    expect(pauses).toEqual([]);
  });

  it.each([401, 403])('is refused to who may not read it: %i', async (status) => {
    const directory = await serving((_, response) => response.writeHead(status).end());
    await expect(directory.open('x')).rejects.toMatchObject({ code: 'UNAUTHORIZED', retriable: false });
    await expect(directory.readText('x')).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
    expect(pauses).toEqual([]);
  });
});

describe('what fails for a while', () => {
  it.each<[string, Answer]>([
    ['busy', (_, response) => response.writeHead(503).end()],
    ['asked too often', (_, response) => response.writeHead(429).end()],
    ['gone', ({ socket }) => socket.destroy()],
    ['cut off in the middle of the body', cutOff],
  ])('is asked for again: %s', async (_, failure) => {
    let failures = 3;
    const source = await opened((request, response) => {
      if (request.method !== 'HEAD' && failures-- > 0) failure(request, response);
      else goodFile(request, response);
    });
    expect(Buffer.compare(await source.read(0, 100), BYTES.subarray(0, 100))).toBe(0);
    expect(pauses).toHaveLength(3);
    for (const [attempt, pauseMs] of pauses.entries()) {
      expect(pauseMs).toBeGreaterThanOrEqual(100 * 2 ** attempt);
      expect(pauseMs).toBeLessThanOrEqual(200 * 2 ** attempt);
    }
  });

  it('is given up after six tries, and may be tried later', async () => {
    let tries = 0;
    const directory = await serving((_, response) => {
      tries++;
      response.writeHead(500).end();
    });
    await expect(directory.open('x')).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
      retriable: true,
      message: expect.stringContaining('6 times in vain (HTTP 500)'),
    });
    expect(tries).toBe(6);
  });

  it('does not wait for a server that falls silent', async () => {
    const impatient: Clock = {
      ...hurried,
      after: (_, action) => {
        const timer = setTimeout(action, 50);
        return () => clearTimeout(timer);
      },
    };
    const silent = await serving(() => undefined, impatient);
    await expect(silent.readText('x')).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('no answer in 20 s'),
    });
    const stuck = await serving(
      (_, response) => response.writeHead(200, { 'content-length': 9 }).write('a'),
      impatient,
    );
    await expect(stuck.readText('x')).rejects.toMatchObject({ code: 'CONNECT_FAILED' });
  });
});

const RANGE_0_99 = { 'content-range': `bytes 0-99/${BYTES.length}` };

/** A server as it should be, with one file. */
const goodFile: Answer = ({ method, headers: { range } }, response) => {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
  const [start, end] = [Number(first), Number(last) + 1];
  const version = { 'accept-ranges': 'bytes', etag: ETAG };
  if (method === 'HEAD') response.writeHead(200, { ...version, 'content-length': BYTES.length }).end();
  else
    response
      .writeHead(206, {
        ...version,
        'content-range': `bytes ${start}-${end - 1}/${BYTES.length}`,
        'content-length': end - start,
      })
      .end(BYTES.subarray(start, end));
};

function ranged(range: string, byteCount: number): Answer {
  return (_, response) =>
    response
      .writeHead(206, { 'content-range': range, 'content-length': byteCount })
      .end(BYTES.subarray(0, byteCount));
}

function cutOff({ socket }: { socket: Socket }, response: ServerResponse): void {
  response.writeHead(206, { ...RANGE_0_99, 'content-length': 100 });
  response.write(BYTES.subarray(0, 50), () => socket.destroy());
}

function byPath(answers: Record<string, Answer>): Answer {
  return (request, response) => {
    const answer = answers[request.url ?? ''];
    if (answer === undefined) response.writeHead(404).end();
    else answer(request, response);
  };
}

async function opened(answer: Answer): Promise<ByteSource> {
  const source = await (await serving(answer)).open('model.safetensors');
  if (source === null) throw new Error('the file is there');
  return source;
}

async function serving(answer: Answer, clock = hurried): Promise<CheckpointDirectory> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : '';
  return httpDirectory({
    url: `http://127.0.0.1:${port}/m`,
    token: 'secret',
    fetch,
    clock,
    random: createRandom(1),
  });
}
