import { readFailed } from './read-failed.ts';
import { Interruption } from './requester.ts';

/**
 * The body of an answer, which must have `byteCount` bytes: a longer one is refused before it fills the memory, a shorter
 * one was cut off on its way and counts as an interruption.
 */
export async function readBody(
  name: string,
  response: Response,
  byteCount: number,
  onBytes: () => void,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(byteCount);
  const reader = response.body?.getReader();
  let at = 0;
  while (reader !== undefined) {
    const { done, value } = await reader.read().catch((cause: unknown) => {
      throw new Interruption(messageOf(cause));
    });
    if (done) break;
    onBytes();
    if (at + value.length > byteCount)
      throw readFailed(name, `more than ${byteCount} bytes came`, `${byteCount}`);
    bytes.set(value, at);
    at += value.length;
  }
  if (at < byteCount) throw new Interruption(`${at} of ${byteCount} bytes came`);
  return bytes;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
