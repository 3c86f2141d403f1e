import { present, unreachable } from '@ultramem/invariant';
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

/** How far a pooled number may be off. */
export function errorOfEncoding(encoding: PooledEncoding): string {
  switch (encoding) {
    case 'f32':
      return 'exact';
    case 'bf16':
      return 'off by at most 0.4 % of itself';
    case 'int8':
      return 'off by at most 0.4 % of the largest of its 64 columns';
    default:
      return unreachable(encoding);
  }
}

const LOOPBACK = /^(localhost|\[?::1\]?|(::ffff:)?127(\.\d+){3})(:\d+)?$/;

/** Whether the peer is on this machine, by its address. */
export function isLoopback(peerName: string): boolean {
  return LOOPBACK.test(peerName);
}

/** A first answer that the slowest link carries within a lease. */
const FIRST_ECHO_BYTES = 2 ** 16;
/**
 * Answers as large as allowed, of which the median counts: the first one may be slower than the link, because code is still compiled, or
 * faster, where a network lets bursts through.
 */
const ECHOES = 5;
/** One that takes so long is enough. */
const ECHO_MS_ENOUGH = 100;

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
  const rate = (bytes: number, elapsedMs: number): number | null =>
    elapsedMs > roundTripMs ? (bytes / (elapsedMs - roundTripMs)) * 1e3 : null;
  const firstMs = await echo(FIRST_ECHO_BYTES);
  if (firstMs === null) return null;
  if (firstMs > ECHO_MS_ENOUGH) return rate(FIRST_ECHO_BYTES, firstMs);
  const echoesMs: number[] = [];
  while (echoesMs.length < ECHOES) {
    const elapsedMs = await echo(ECHO_BYTES_MAX);
    if (elapsedMs === null) return null;
    if (elapsedMs > ECHO_MS_ENOUGH) return rate(ECHO_BYTES_MAX, elapsedMs);
    echoesMs.push(elapsedMs);
  }
  echoesMs.sort((a, b) => a - b);
  return rate(ECHO_BYTES_MAX, present(echoesMs[ECHOES >> 1], 'there are as many as were asked for'));
}

/** @param bytesPerSecond null where it was not measured: on loopback, or too fast to tell */
export function encodingFor(bytesPerSecond: number | null, slow: SlowLinks): PooledEncoding {
  return bytesPerSecond !== null && bytesPerSecond < slow.bytesPerSecond ? slow.encoding : 'f32';
}
