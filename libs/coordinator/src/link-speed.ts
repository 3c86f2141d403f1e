import { present } from '@ultramem/invariant';
import { codedError, ECHO_BYTES_MAX, POOLED_ENCODINGS, type PooledEncoding } from '@ultramem/protocol';

/** How pooled vectors travel on links that were measured to be slow. */
export interface SlowLinks {
  /** f32 changes nothing. */
  encoding: PooledEncoding;
  /** Below this a link is slow. */
  bytesPerSecond: number;
}

/**
 * Rounding and widening a number takes about 3 ns here and there together, and saves at least two of its bytes: below about 700 MB/s
 * the bytes take longer. Far enough below it for a fast link between busy processes, and above what 2.5 Gbit/s carry.
 */
export const SLOW_LINKS: SlowLinks = { encoding: 'f32', bytesPerSecond: 3e8 };

/** @throws OperatingError USAGE */
export function parseSlowLinks(text: string): SlowLinks {
  const encoding = POOLED_ENCODINGS.find((name) => name === text);
  if (encoding === undefined)
    throw codedError(
      'USAGE',
      `the encoding for slow links is "${text}"; expected ${POOLED_ENCODINGS.join(', ')}; correct --slow-links`,
    );
  return { ...SLOW_LINKS, encoding };
}

const LOOPBACK = /^(localhost|\[?::1\]?|(::ffff:)?127(\.\d+){3})(:\d+)?$/;

/** Whether the peer is on this machine, by its address. */
export function isLoopback(peerName: string): boolean {
  return LOOPBACK.test(peerName);
}

/** Answers that the slowest link carries within a lease. */
const SMALL_ECHO_BYTES = 2 ** 16;
/** Of them the median counts: one may be slower than the link, because somebody was busy, or faster, where a network lets bursts through. */
const ECHOES = 5;
/** Where answers take so long, fewer are enough, and larger ones too many. */
const SLOW_ECHO_MS = 100;
const SLOW_ECHOES = 3;

/**
 * Bytes a second of a link; null where it is too fast to tell, or an answer did not come.
 *
 * @param echo asks for so many bytes and answers how long they took, or null
 * @param roundTripMs of an empty answer
 */
export async function timeLink(
  echo: (bytes: number) => Promise<number | null>,
  roundTripMs: number,
): Promise<number | null> {
  const rate = (bytes: number, elapsedMs: number | null): number | null =>
    elapsedMs !== null && elapsedMs > roundTripMs ? (bytes / (elapsedMs - roundTripMs)) * 1e3 : null;
  const smallMs = await medianOfEchoes(() => echo(SMALL_ECHO_BYTES));
  if (smallMs === null || smallMs > SLOW_ECHO_MS) return rate(SMALL_ECHO_BYTES, smallMs);
  return rate(ECHO_BYTES_MAX, await medianOfEchoes(() => echo(ECHO_BYTES_MAX)));
}

async function medianOfEchoes(echo: () => Promise<number | null>): Promise<number | null> {
  const echoesMs: number[] = [];
  for (let wanted = ECHOES; echoesMs.length < wanted; ) {
    const elapsedMs = await echo();
    if (elapsedMs === null) return null;
    if (elapsedMs > SLOW_ECHO_MS) wanted = SLOW_ECHOES;
    echoesMs.push(elapsedMs);
  }
  echoesMs.sort((a, b) => a - b);
  return present(echoesMs[echoesMs.length >> 1], 'there are some');
}

/** @param bytesPerSecond null where it was not measured: on loopback, or too fast to tell */
export function encodingFor(bytesPerSecond: number | null, slow: SlowLinks): PooledEncoding {
  return bytesPerSecond !== null && bytesPerSecond < slow.bytesPerSecond ? slow.encoding : 'f32';
}
