import { type FileHandle, open } from 'node:fs/promises';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { refusal, refuse } from './answer.ts';
import type { ModelFile } from './model-files.ts';
import { parseRange } from './parse-range.ts';

/** A reader who takes nothing for this long is cut, so that it does not hold a stream for ever. */
const STALL_MS = 60_000;

/**
 * Answers GET and HEAD with a file, or the part of it that a Range header names (RFC 9110, section 14), from the disk as
 * the reader takes it. With an If-Range that is not this `etag` the whole file is the answer.
 */
export async function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  { file, etag, headers }: { file: ModelFile; etag: string; headers: OutgoingHttpHeaders },
): Promise<void> {
  const { byteCount, contentType, path } = file;
  const common = {
    ...headers,
    'content-type': contentType,
    'accept-ranges': 'bytes',
    etag,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'cross-origin-resource-policy': 'same-origin',
  };
  const isHead = request.method === 'HEAD';
  const isOther = request.headers['if-range'] !== undefined && request.headers['if-range'] !== etag;
  const range = isHead || isOther ? null : parseRange(request.headers.range, byteCount);
  if (range === 'unsatisfiable') {
    const why = `the file has ${byteCount} bytes; expected one range of them, such as bytes=0-99; correct it`;
    refuse(response, refusal('UNEXPECTED_MESSAGE', 416, why), {
      ...headers,
      'content-range': `bytes */${byteCount}`,
    });
    return;
  }
  if (isHead) {
    response.writeHead(200, { ...common, 'content-length': byteCount });
    response.end();
    return;
  }
  const handle = await openUnchanged(path, byteCount);
  if (handle === null) {
    const why = 'the file is not as it was when the coordinator started; expected no change; restart it';
    refuse(response, refusal('CHECKPOINT_READ_FAILED', 500, why), headers);
    return;
  }
  const { start, end } = range ?? { start: 0, end: byteCount };
  response.writeHead(range === null ? 200 : 206, {
    ...common,
    'content-length': end - start,
    ...(range !== null && { 'content-range': `bytes ${start}-${end - 1}/${byteCount}` }),
  });
  await send(handle, start, end, response);
}

/** Null when the file cannot be opened or has another size. */
async function openUnchanged(path: string, byteCount: number): Promise<FileHandle | null> {
  try {
    const handle = await open(path, 'r');
    if ((await handle.stat()).size === byteCount) return handle;
    await handle.close();
  } catch {
    // Whatever the reason: the file was there at the start.
  }
  return null;
}

/** The head is out: whatever goes wrong now, the reader's end or ours, can only cut the connection. */
async function send(handle: FileHandle, start: number, end: number, response: ServerResponse): Promise<void> {
  response.setTimeout(STALL_MS, () => response.destroy());
  if (start === end) {
    await handle.close();
    response.end();
    return;
  }
  await pipeline(handle.createReadStream({ start, end: end - 1 }), response).catch(() => response.destroy());
}
