import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createHttpFiles, type HttpFilesOptions } from './http-files.ts';

const TOKEN = 'the-right-token';
const AUTHORIZATION = `Bearer ${TOKEN}`;
const ETAG = '"0123abcd"';
const ELSEWHERE = 'https://pages.example.org';
const BYTES = Uint8Array.from({ length: 100_000 }, (_, i) => i * 31 + (i >>> 8));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'http-files-'));
  writeFileSync(join(folder, 'config.json'), '{"a": 1}');
  writeFileSync(join(folder, 'model.safetensors'), BYTES);
  writeFileSync(join(folder, 'secret.txt'), 'not of the model');
  writeFileSync(join(folder, 'index.html'), '<title>page</title>');
  writeFileSync(join(folder, 'main.js'), 'void 0;');
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('a file of the model', () => {
  it('comes whole, with its length and version', async () => {
    const answer = await ask('/v1/model/model.safetensors');
    expect(answer).toMatchObject({
      status: 200,
      headers: {
        'content-length': `${BYTES.length}`,
        'content-type': 'application/octet-stream',
        'accept-ranges': 'bytes',
        etag: ETAG,
      },
    });
    expect(Buffer.compare(answer.body, BYTES)).toBe(0);
    const config = await ask('/v1/model/config.json?x=1');
    expect(config.headers['content-type']).toBe('application/json');
    expect(config.body.toString()).toBe('{"a": 1}');
  });

  it.each([
    ['bytes=0-0', 0, 1],
    ['bytes=70000-70099', 70_000, 70_100],
    ['bytes=99990-', 99_990, 100_000],
    ['bytes=-5', 99_995, 100_000],
    ['bytes=5-999999', 5, 100_000],
  ])('comes in part for %s', async (range, start, end) => {
    const { status, headers, body } = await ask('/v1/model/model.safetensors', { range });
    expect(status).toBe(206);
    expect(headers['content-range']).toBe(`bytes ${start}-${end - 1}/100000`);
    expect(headers['content-length']).toBe(`${end - start}`);
    expect(Buffer.compare(body, BYTES.subarray(start, end))).toBe(0);
  });

  it.each(['bytes=100000-', 'bytes=-0', 'bytes=9-3', 'bytes=0-1,5-6', 'bytes=a-b'])(
    'is refused for %s',
    async (range) => {
      const { status, headers } = await ask('/v1/model/model.safetensors', { range });
      expect(status).toBe(416);
      expect(headers['content-range']).toBe('bytes */100000');
    },
  );

  it('says its length without a body to HEAD, whatever the range', async () => {
    const { status, headers, body } = await ask(
      '/v1/model/model.safetensors',
      { range: 'bytes=0-9' },
      { method: 'HEAD' },
    );
    expect(status).toBe(200);
    expect(headers).toMatchObject({ 'content-length': '100000', etag: ETAG });
    expect(body.length).toBe(0);
  });

  it('comes whole when If-Range names another version', async () => {
    const range = 'bytes=0-9';
    const same = await ask('/v1/model/model.safetensors', { range, 'if-range': ETAG });
    expect(same.status).toBe(206);
    const other = await ask('/v1/model/model.safetensors', { range, 'if-range': '"other"' });
    expect(other.status).toBe(200);
    expect(other.body.length).toBe(BYTES.length);
  });

  it('is refused after it changed', async () => {
    const path = join(folder, 'changing.safetensors');
    writeFileSync(path, BYTES);
    const url = await serve({ names: ['changing.safetensors'] });
    writeFileSync(path, BYTES.subarray(1));
    const { status, body } = await ask('/v1/model/changing.safetensors', {}, { url });
    expect(status).toBe(500);
    expect(codeOf(body)).toBe('CHECKPOINT_READ_FAILED');
  });

  it('has to wait when many are on their way', async () => {
    const large = join(folder, 'large.safetensors');
    writeFileSync(large, new Uint8Array(32 * 2 ** 20)); // more than sockets hold
    const url = await serve({ names: ['large.safetensors'] }, { streamsMax: 1 });
    const headers = { authorization: AUTHORIZATION };
    const first = await new Promise<import('node:http').IncomingMessage>((resolve) =>
      request(`${url}/v1/model/large.safetensors`, { headers }, resolve).end(),
    );
    const second = await ask('/v1/model/large.safetensors', {}, { url });
    expect(second.status).toBe(503);
    expect(codeOf(second.body)).toBe('OVERLOADED');
    expect(second.headers['retry-after']).toBe('1');
    first.destroy();
    await expect
      .poll(async () => (await ask('/v1/model/large.safetensors', {}, { url, method: 'HEAD' })).status)
      .toBe(200);
  });
});

describe('what is not of the model', () => {
  it.each([
    '/v1/model/secret.txt',
    '/v1/model/',
    '/v1/model/../secret.txt',
    '/v1/model/%2e%2e/secret.txt',
    '/v1/model/..%2fsecret.txt',
    '/v1/model/./config.json',
    '/v1/model//config.json',
    '/v1/model/config.json/',
    '/v1/model/config.json%00',
    '/v1/model/__proto__',
    '/v1/model//etc/passwd',
  ])('%s does not exist', async (path) => {
    const { status, body } = await ask(path);
    expect(status).toBe(404);
    expect(codeOf(body)).toBe('CHECKPOINT_NOT_FOUND');
  });

  it.each(['/', '/v1', '/v1/model', '/v1/other/config.json', '/workers/', 'http://x/v1/model/config.json'])(
    '%s is left to others',
    async (path) => {
      expect((await ask(path)).status).toBe(426);
    },
  );

  it('nothing is written', async () => {
    const { status, headers } = await ask('/v1/model/config.json', {}, { method: 'PUT' });
    expect(status).toBe(405);
    expect(headers.allow).toBe('GET, HEAD');
  });
});

describe('the token', () => {
  it.each([
    [{ authorization: '' }],
    [{ authorization: 'Bearer ' }],
    [{ authorization: TOKEN }],
    [{ authorization: `Basic ${TOKEN}` }],
    [{ authorization: `Bearer ${TOKEN}x` }],
    [{ authorization: `Bearer ${TOKEN.slice(1)}` }],
    [{ authorization: `Bearer x${TOKEN.slice(1)}` }],
  ])('%j is refused, of files that exist and of others', async (headers) => {
    for (const name of ['config.json', 'nothing']) {
      const answer = await ask(`/v1/model/${name}`, headers);
      expect(answer.status).toBe(401);
      expect(answer.headers['www-authenticate']).toBe('Bearer');
      expect(codeOf(answer.body)).toBe('UNAUTHORIZED');
    }
  });

  it('is not needed where there is none, but then only this machine is answered', async () => {
    const url = await serve({ token: null });
    for (const host of ['localhost', '127.0.0.1:7420', '[::1]:7420'])
      expect((await ask('/v1/model/config.json', { host }, { url })).status).toBe(200);
    for (const host of ['rebound.example.org', '127.0.0.1.example.org', '['])
      expect((await ask('/v1/model/config.json', { host }, { url })).status).toBe(403);
  });
});

describe('pages of other origins', () => {
  it('are refused', async () => {
    for (const origin of [ELSEWHERE, 'null', 'http://127.0.0.1:1', 'nonsense']) {
      const { status, headers } = await ask('/v1/model/config.json', { origin });
      expect(status).toBe(403);
      expect(headers['access-control-allow-origin']).toBeUndefined();
    }
  });

  it('may ask where they are allowed', async () => {
    const url = await serve({ allowedOrigins: [ELSEWHERE] });
    const asked = {
      origin: ELSEWHERE,
      'access-control-request-method': 'GET',
      'access-control-request-headers': 'authorization,range',
      authorization: '',
    };
    const preflight = await ask('/v1/model/config.json', asked, { url, method: 'OPTIONS' });
    expect(preflight.status).toBe(204);
    expect(preflight.headers).toMatchObject({
      'access-control-allow-origin': ELSEWHERE,
      'access-control-allow-headers': expect.stringMatching(/authorization.*range/),
    });
    const answer = await ask('/v1/model/config.json', { origin: ELSEWHERE }, { url });
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': ELSEWHERE,
      'access-control-expose-headers': expect.stringContaining('content-range'),
    });
    // A refusal can be read as well.
    const refused = await ask('/v1/model/config.json', { origin: ELSEWHERE, authorization: '' }, { url });
    expect(refused).toMatchObject({
      status: 401,
      headers: { 'access-control-allow-origin': ELSEWHERE },
    });
  });

  it('and the own one may always, also behind a proxy that takes the TLS off', async () => {
    const url = await serve({});
    const { host } = new URL(url);
    for (const headers of [
      { origin: `http://${host}` },
      { origin: 'https://ultramem.example.org', host: 'ultramem.example.org' },
      { origin: 'https://ultramem.example.org', host: 'ultramem.example.org:443' },
    ])
      expect((await ask('/v1/model/config.json', headers, { url })).status).toBe(200);
  });
});

describe('the page', () => {
  const NO_TOKEN = { authorization: '' };

  it('is served to anyone, and may load nothing from elsewhere', async () => {
    const { status, headers, body } = await ask('/worker/', NO_TOKEN);
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(headers['content-security-policy']).toContain("default-src 'none'; script-src 'self';");
    expect(body.toString()).toBe('<title>page</title>');
    expect((await ask('/worker/main.js', NO_TOKEN)).headers['content-type']).toBe(
      'text/javascript; charset=utf-8',
    );
  });

  it('is found without its last slash', async () => {
    expect(await ask('/worker', NO_TOKEN)).toMatchObject({ status: 308, headers: { location: '/worker/' } });
  });

  it.each(['/worker/config.json', '/worker/secret.txt', '/worker/../secret.txt', '/worker/main.js/'])(
    '%s is no part of it',
    async (path) => {
      expect((await ask(path, NO_TOKEN)).status).toBe(404);
    },
  );

  it('may not have been built', async () => {
    const url = await serve({ pageDirectory: join(folder, 'nothing') });
    expect((await ask('/worker/', {}, { url })).status).toBe(404);
  });
});

type Changes = Partial<Omit<HttpFilesOptions, 'model'>> & { names?: string[] };

async function serve(
  { names = ['config.json', 'model.safetensors'], ...changes }: Changes,
  { streamsMax = 64 } = {},
): Promise<string> {
  const handle = await createHttpFiles({
    model: { directory: folder, names, fingerprint: '0123abcd' },
    pageDirectory: folder,
    token: TOKEN,
    allowedOrigins: [],
    streamsMax,
    ...changes,
  });
  const server = createServer((asked, response) => {
    if (!handle(asked, response)) response.writeHead(426).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
}

/** The path goes out as it is: `fetch` and `URL` would tidy it up. */
async function ask(
  path: string,
  headers: Record<string, string> = {},
  { url, method = 'GET' }: { url?: string; method?: string } = {},
): Promise<{ status: number | undefined; headers: IncomingHttpHeaders; body: Buffer }> {
  const { hostname, port } = new URL(url ?? (await serve({})));
  return new Promise((resolve, reject) => {
    request(
      { hostname, port, path, method, headers: { authorization: AUTHORIZATION, ...headers }, agent: false },
      (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('end', () =>
          resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces) }),
        );
        response.on('error', reject);
      },
    )
      .on('error', reject)
      .end();
  });
}

function codeOf(body: Buffer): string {
  return (JSON.parse(body.toString()) as { error: { code: string } }).error.code;
}
