import { unreachable } from '@ultramem/invariant';
import { codedError, POOLED_ENCODINGS, type PooledEncoding } from '@ultramem/protocol';

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

/**
 * Bytes a second of a link on which answers of `bytes` took `elapsedMs` each, of which the median counts, and an empty one `roundTripMs`;
 * null where they took no longer, or there are none.
 */
export function linkBytesPerSecond(
  bytes: number,
  elapsedMs: readonly number[],
  roundTripMs: number,
): number | null {
  const sorted = [...elapsedMs].sort((a, b) => a - b);
  const ms = (sorted[sorted.length >> 1] ?? 0) - roundTripMs;
  return ms > 0 ? (bytes / ms) * 1e3 : null;
}

/** @param bytesPerSecond null where it was not measured: on loopback, or too fast to tell */
export function encodingFor(bytesPerSecond: number | null, slow: SlowLinks): PooledEncoding {
  return bytesPerSecond !== null && bytesPerSecond < slow.bytesPerSecond ? slow.encoding : 'f32';
}
