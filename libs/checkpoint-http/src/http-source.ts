import type { ByteSource } from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import { readBody } from './read-body.ts';
import { readFailed, unexpectedAnswer } from './read-failed.ts';
import type { Requester } from './requester.ts';

/** One file behind a server, read by range. Every answer must be the very bytes that were asked for, of the file that was opened. */
export function httpSource(options: {
  name: string;
  byteCount: number;
  etag: string | null;
  request: Requester;
}): ByteSource {
  const { name, byteCount, etag, request } = options;
  // Only a strong one may stand in If-Range; then another version comes whole, as 200.
  const version: Record<string, string> = etag?.startsWith('"') ? { 'If-Range': etag } : {};
  let isClosed = false;
  return {
    name,
    path: null,
    byteCount,
    read: async (offset, count) => {
      assert(!isClosed, `${name} is read after it was closed`);
      assert(offset >= 0 && count >= 0 && offset + count <= byteCount, `${name} is read inside its bounds`);
      if (count === 0) return new Uint8Array(0);
      const last = offset + count - 1;
      const headers = { Range: `bytes=${offset}-${last}`, ...version };
      return request({ method: 'GET', url: name, headers }, (response, allow) => {
        if (response.status === 200 || response.status === 404 || response.status === 416)
          throw readFailed(name, 'it is not the file that was opened', 'no change since then');
        if (response.status !== 206) throw unexpectedAnswer(name, response);
        const range = response.headers.get('content-range');
        const expected = `bytes ${offset}-${last}/${byteCount}`;
        if (range !== expected)
          throw readFailed(name, `the range ${JSON.stringify(range)} came`, JSON.stringify(expected));
        return readBody(name, response, count, allow);
      });
    },
    close: async () => {
      isClosed = true;
    },
  };
}
