import { readFailed } from './read-failed.ts';
import { Interruption } from './requester.ts';

/**
 * The body of an answer, which must announce `byteCount` bytes: nothing longer fills the memory. One that was cut off on its way
 * counts as an interruption.
 *
 * @param allow tells how many bytes are now waited for
 */
export async function readBody(
  name: string,
  response: Response,
  byteCount: number,
  allow: (byteCount: number) => void,
): Promise<Uint8Array> {
  const announced = response.headers.get('content-length');
  if (announced !== `${byteCount}`)
    throw readFailed(name, `an answer of ${announced ?? 'unknown'} bytes came`, `${byteCount}`);
  allow(byteCount);
  const body = await response.arrayBuffer().catch((cause: unknown) => {
    throw new Interruption(cause instanceof Error ? cause.message : String(cause));
  });
  if (body.byteLength !== byteCount) throw new Interruption(`${body.byteLength} of ${byteCount} bytes came`);
  return new Uint8Array(body);
}
