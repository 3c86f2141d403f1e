import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import type { StoredTensor } from './stored-tensors.ts';
import { encodeUtf8 } from './utf8.ts';

const PIECES = 16;
const PIECE_BYTES = 64;
/** Up to here one read of the whole tensor is cheaper than one for each piece. */
const WHOLE_READ_BYTES = 64 * 1024;
/** Tensors that are read at once: from far away, waiting for each would take longer than all the bytes. */
const TENSORS_AT_ONCE = 8;

/**
 * Tells checkpoints apart that must not be mixed in one cluster, without reading them: SHA-256 over the configuration,
 * every tensor's name, dtype and shape, and a sample of its bytes, so that two training stages of one model differ.
 * How tensors are ordered and spread over files does not matter. Not a checksum: most bytes are not seen.
 *
 * @returns the first 32 hexadecimal digits
 */
export async function fingerprint(configText: string, tensors: Iterable<StoredTensor>): Promise<string> {
  const hash = sha256.create().update(encodeUtf8(`${JSON.stringify(configText)}\n`));
  const sorted = [...tensors].sort((a, b) => (a.entry.name < b.entry.name ? -1 : 1));
  for (let first = 0; first < sorted.length; first += TENSORS_AT_ONCE) {
    const tensors = sorted.slice(first, first + TENSORS_AT_ONCE);
    const samples = await Promise.all(tensors.map(sample));
    for (const [i, { entry }] of tensors.entries()) {
      const { name, dtype, shape } = entry;
      hash.update(encodeUtf8(`${JSON.stringify([name, dtype, shape])}\n`));
      for (const piece of samples[i]) hash.update(piece);
    }
  }
  return bytesToHex(hash.digest()).slice(0, 32);
}

/** The first and the last 64 bytes and evenly spaced ones between, or everything where that is no more. */
async function sample(tensor: StoredTensor): Promise<Uint8Array[]> {
  const byteCount = tensor.entry.end - tensor.entry.begin;
  if (byteCount <= PIECES * PIECE_BYTES) return [await tensor.read(0, byteCount)];
  const firsts = Array.from({ length: PIECES }, (_, i) =>
    Math.floor((i / (PIECES - 1)) * (byteCount - PIECE_BYTES)),
  );
  if (byteCount > WHOLE_READ_BYTES)
    return Promise.all(firsts.map((first) => tensor.read(first, PIECE_BYTES)));
  const whole = await tensor.read(0, byteCount);
  return firsts.map((first) => whole.subarray(first, first + PIECE_BYTES));
}
