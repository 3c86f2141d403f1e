import { AssertionError, assert, OperatingError } from '@ultramem/invariant';
import type { ShuffleIndex } from './value-index.ts';

/**
 * Targets that share a bucket: their bits are 128 KiB, which a core's own cache holds. In the order of the file each bit would be a
 * wait for memory, four times as long as everything else.
 */
const BUCKET_BITS = 20;
const BUCKET_COUNT = 2 ** (32 - BUCKET_BITS);

/**
 * Takes a stored int64 `shuffle_index` piece by piece and proves that it is a permutation of 0 .. length - 1. There are as many
 * entries as targets; so when every target was hit, none was hit twice and no entry lies outside. Only a shuffle that fails is
 * gone through again, for the message.
 */
export class ShuffleReader {
  readonly #tensorName: string;
  readonly #shuffle: ShuffleIndex;
  readonly #seen: Int32Array; // a bit for each target, and set ones behind the last
  #gathered = new Int32Array(0); // of the longest piece so far
  #taken = 0;

  /** @param into what `finish` returns, `emptyShuffle` of the right length */
  constructor(tensorName: string, into: ShuffleIndex) {
    this.#tensorName = tensorName;
    this.#shuffle = into;
    this.#seen = unseen(into.length);
  }

  /**
   * The entries that follow those taken so far. Pieces of millions are fastest, at about 10 ms a million in which nothing else happens.
   *
   * @throws OperatingError CHECKPOINT_INVALID naming the first offending entry, if one here has more than 32 bits; all others wait for `finish`.
   */
  take(stored: BigInt64Array): void {
    const shuffle = this.#shuffle;
    const first = this.#taken;
    this.#taken += stored.length;
    assert(this.#taken <= shuffle.length, 'the shape of the shuffle was checked with the header');
    const words = new Int32Array(stored.buffer, stored.byteOffset, 2 * stored.length); // little-endian; a BigInt for each takes many times as long
    if (shuffle instanceof Float64Array) {
      takeWide(words, shuffle.subarray(first, this.#taken), this.#seen);
      return;
    }
    if (this.#gathered.length < stored.length) this.#gathered = new Int32Array(stored.length);
    const bucketStart = new Int32Array(BUCKET_COUNT + 1);
    const targets = new Int32Array(shuffle.buffer, 4 * first, stored.length);
    if (takeLowWords(words, targets, bucketStart) !== 0)
      throw this.#refusal((i) => (i < first ? shuffle[i] : Number(stored[i - first])));
    gather(targets, bucketStart, this.#gathered);
    mark(this.#gathered, stored.length, this.#seen);
  }

  /**
   * The whole shuffle, when all of it was taken.
   *
   * @throws OperatingError CHECKPOINT_INVALID naming the first offending entry.
   */
  finish(): ShuffleIndex {
    const shuffle = this.#shuffle;
    assert(this.#taken === shuffle.length, 'all of the shuffle was taken');
    if (this.#seen.some((bits) => bits !== -1)) throw this.#refusal((i) => shuffle[i]);
    return shuffle;
  }

  #refusal(entry: (index: number) => number): OperatingError {
    const { length } = this.#shuffle;
    const seen = unseen(length);
    for (let i = 0; i < this.#taken; i++) {
      const target = entry(i);
      const inside = target >= 0 && target < length;
      const word = Math.floor(target / 32);
      const bit = 1 << (target % 32);
      if (!inside || (seen[word] & bit) !== 0)
        return new OperatingError(
          'CHECKPOINT_INVALID',
          `${this.#tensorName}[${i}] is ${target}${inside ? ', which occurs twice' : ''}; expected a permutation of 0 to ${length - 1}; export the checkpoint again`,
        );
      seen[word] |= bit;
    }
    throw new AssertionError('a shuffle that fails has an offending entry');
  }
}

/** Room for a shuffle: 32 bits an entry where they are enough. */
export function emptyShuffle(length: number): ShuffleIndex {
  return length < 2 ** 32 ? new Uint32Array(length) : new Float64Array(length);
}

function unseen(length: number): Int32Array {
  const seen = new Int32Array(Math.ceil(length / 32));
  if (length % 32 !== 0) seen[seen.length - 1] = -1 << (length % 32);
  return seen;
}

/** Copies the low word of each entry and counts the buckets, each one place late; all high words in one. */
function takeLowWords(words: Int32Array, targets: Int32Array, bucketStart: Int32Array): number {
  let high = 0;
  for (let i = 0; i < targets.length; i++) {
    const target = words[2 * i];
    high |= words[2 * i + 1];
    targets[i] = target;
    bucketStart[(target >>> BUCKET_BITS) + 1]++;
  }
  return high;
}

/** Puts the targets of each bucket side by side. Four in a turn, here and below: a third faster, because engines do not unroll. */
function gather(targets: Int32Array, bucketStart: Int32Array, gathered: Int32Array): void {
  for (let bucket = 1; bucket < BUCKET_COUNT; bucket++) bucketStart[bucket] += bucketStart[bucket - 1];
  let i = 0;
  for (; i + 4 <= targets.length; i += 4) {
    const a = targets[i];
    const b = targets[i + 1];
    const c = targets[i + 2];
    const d = targets[i + 3];
    gathered[bucketStart[a >>> BUCKET_BITS]++] = a;
    gathered[bucketStart[b >>> BUCKET_BITS]++] = b;
    gathered[bucketStart[c >>> BUCKET_BITS]++] = c;
    gathered[bucketStart[d >>> BUCKET_BITS]++] = d;
  }
  for (; i < targets.length; i++) gathered[bucketStart[targets[i] >>> BUCKET_BITS]++] = targets[i];
}

/** A target outside falls on a bit behind the last, or on none: a typed array ignores it. */
function mark(targets: Int32Array, count: number, seen: Int32Array): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const a = targets[i];
    const b = targets[i + 1];
    const c = targets[i + 2];
    const d = targets[i + 3];
    seen[a >>> 5] |= 1 << a;
    seen[b >>> 5] |= 1 << b;
    seen[c >>> 5] |= 1 << c;
    seen[d >>> 5] |= 1 << d;
  }
  for (; i < count; i++) seen[targets[i] >>> 5] |= 1 << targets[i];
}

/** Entry by entry: nobody has waited for a table of 2^32 slots yet. */
function takeWide(words: Int32Array, shuffle: Float64Array, seen: Int32Array): void {
  for (let i = 0; i < shuffle.length; i++) {
    const target = words[2 * i + 1] * 2 ** 32 + (words[2 * i] >>> 0); // rounded once, as `Number` rounds
    shuffle[i] = target;
    seen[Math.floor(target / 32)] |= 1 << (target % 32);
  }
}
