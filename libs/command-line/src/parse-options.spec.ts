import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkExposure, number, readToken, wholeNumber } from './parse-options.ts';

const usage = (message: string) => expect.objectContaining({ code: 'USAGE', message });

describe('wholeNumber', () => {
  it.each([
    ['1', 1],
    ['0042', 42],
    ['65535', 65535],
  ])('reads %s', (text, value) => {
    expect(wholeNumber('--port', 1, 65535)(text)).toBe(value);
  });

  it.each(['', ' 1', '-1', '1.0', '1e3', '0x10', 'one', '0', '65536', '9'.repeat(400)])(
    'refuses %j',
    (text) => {
      expect(() => wholeNumber('--port', 1, 65535)(text)).toThrow(
        usage(`--port is ${JSON.stringify(text)}; expected a whole number of 1 to 65535; correct it`),
      );
    },
  );

  it('takes what a double holds exactly, and no more', () => {
    expect(wholeNumber('--seed', 0)('9007199254740991')).toBe(Number.MAX_SAFE_INTEGER);
    expect(() => wholeNumber('--seed', 0)('9007199254740992')).toThrow(
      'whole number of 0 to 9007199254740991',
    );
  });
});

describe('number', () => {
  it.each([
    ['0.5', 0.5],
    ['1e-1', 0.1],
    ['2', 2],
    ['0', 0],
  ])('reads %s', (text, value) => {
    expect(number('--top-p', 0, 2)(text)).toBe(value);
  });

  it.each(['', ' ', 'NaN', 'Infinity', '-0.1', '2.01', '1,5'])('refuses %j', (text) => {
    expect(() => number('--top-p', 0, 2)(text)).toThrow(
      usage(`--top-p is ${JSON.stringify(text)}; expected a number of 0 to 2; correct it`),
    );
  });
});

describe('readToken', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'token-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function tokenOf(text: string): Promise<string | null> {
    const file = join(folder, 'token');
    await writeFile(file, text);
    return readToken(file);
  }

  it('takes the first line, without the blanks around it', async () => {
    expect(await tokenOf('secret')).toBe('secret');
    expect(await tokenOf('  se cret \r\nanother\n')).toBe('se cret');
    expect(await tokenOf('x'.repeat(2048))).toHaveLength(2048);
    expect(await readToken(undefined)).toBeNull();
  });

  it.each(['', '\nsecret\n', '  \n'])('refuses an empty first line: %j', async (text) => {
    await expect(tokenOf(text)).rejects.toMatchObject({
      code: 'USAGE',
      message: `--token-file ${join(folder, 'token')} has an empty first line; expected the token there; correct it`,
    });
  });

  it('refuses what no hello can carry', async () => {
    await expect(tokenOf('x'.repeat(2049))).rejects.toMatchObject({
      code: 'USAGE',
      message: `the token in --token-file ${join(folder, 'token')} has 2049 characters; expected at most 2048; choose a shorter one`,
    });
  });

  it('refuses a file that cannot be read', async () => {
    const missing = join(folder, 'missing');
    const message = (file: string, code: string) =>
      `--token-file ${file} cannot be read (${code}); expected a file with the token in its first line; correct it`;
    await expect(readToken(missing)).rejects.toMatchObject({
      code: 'USAGE',
      message: message(missing, 'ENOENT'),
    });
    await expect(readToken(folder)).rejects.toMatchObject({
      code: 'USAGE',
      message: message(folder, 'EISDIR'),
    });
  });
});

describe('checkExposure', () => {
  it.each(['localhost', '127.0.0.1', '127.12.0.9', '::1', '[::1]'])('lets %s be without a token', (host) => {
    expect(() => checkExposure(host, null)).not.toThrow();
  });

  it.each(['0.0.0.0', '::', '', '10.0.0.1', 'localhost.example', '127.0.0.1.example', '1127.0.0.1', '::11'])(
    'wants a token for %j',
    (host) => {
      expect(() => checkExposure(host, null)).toThrow(
        usage(
          `--host ${host} is reachable from other machines and there is no token; expected a token beyond loopback; pass --token-file, or leave --host out`,
        ),
      );
      expect(() => checkExposure(host, 'secret')).not.toThrow();
    },
  );
});
