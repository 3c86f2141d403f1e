import type { ByteSource, CheckpointDirectory } from '@ultramem/checkpoint';
import type { Clock, Random } from '@ultramem/environment';
import { codedError } from '@ultramem/protocol';
import { httpSource } from './http-source.ts';
import { readBody } from './read-body.ts';
import { readFailed, unexpectedAnswer } from './read-failed.ts';
import { createRequester } from './requester.ts';

export interface HttpDirectoryOptions {
  /** Of the directory, such as `http://127.0.0.1:7420/v1/model/`. */
  url: string;
  /** Goes out as `Authorization: Bearer`; null sends none. */
  token: string | null;
  fetch: typeof fetch;
  clock: Clock;
  random: Random;
}

/** Text files of a checkpoint are small; a longer one is something else under that name. */
const TEXT_BYTES_MAX = 100_000_000;

/**
 * A checkpoint's files behind a server that takes range requests. Nothing is kept but the length and the version (ETag)
 * of each open file.
 *
 * @throws OperatingError from its methods: UNAUTHORIZED; CONNECT_FAILED (retriable) when nothing answered, or only in vain, after
 * several tries; CHECKPOINT_READ_FAILED when what answers is no such server, or the file changed; CHECKPOINT_INVALID
 * when a text is too long or no UTF-8
 */
export function httpDirectory(options: HttpDirectoryOptions): CheckpointDirectory {
  const base = options.url.endsWith('/') ? options.url : `${options.url}/`;
  const request = createRequester(options);
  return {
    name: base.slice(0, -1),
    readText: (file) => {
      const name = base + file;
      return request({ method: 'GET', url: name }, async (response, allow) => {
        if (response.status === 404) return null;
        if (response.status !== 200) throw unexpectedAnswer(name, response);
        const byteCount = lengthOf(name, response);
        if (byteCount > TEXT_BYTES_MAX)
          throw codedError(
            'CHECKPOINT_INVALID',
            `${name} has ${byteCount} bytes; expected at most ${TEXT_BYTES_MAX}; check that it is the file of that name`,
          );
        return decodeText(name, await readBody(name, response, byteCount, allow));
      });
    },
    open: (file): Promise<ByteSource | null> => {
      const name = base + file;
      return request({ method: 'HEAD', url: name }, async (response) => {
        if (response.status === 404) return null;
        if (response.status !== 200) throw unexpectedAnswer(name, response);
        if (response.headers.get('accept-ranges') !== 'bytes')
          throw readFailed(name, 'its server takes no range requests', 'a coordinator or a file server');
        return httpSource({
          name,
          byteCount: lengthOf(name, response),
          etag: response.headers.get('etag'),
          request,
        });
      });
    },
  };
}

function lengthOf(name: string, response: Response): number {
  const text = response.headers.get('content-length') ?? '';
  if (!/^\d{1,15}$/.test(text))
    throw readFailed(name, `its Content-Length is ${JSON.stringify(text)}`, 'a number of bytes');
  return Number(text);
}

function decodeText(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw codedError('CHECKPOINT_INVALID', `${name} is not UTF-8; expected text; export it again`, cause);
  }
}
