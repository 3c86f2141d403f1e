import type { Random } from '@ultramem/environment';
import type { ByteSink } from './byte-sink.ts';
import { fromFloat32 } from './dtype.ts';
import { DTYPE_BYTES } from './tensor-source.ts';

const PIECE_BYTES = 8 * 1024 * 1024;
/** Normals come from this many drawn ones, picked by 16 random bits each. */
const DRAWN = 65536;

export function drawNormals(random: Random): Float32Array {
  return Float32Array.from({ length: DRAWN }, () => random.normal());
}

/**
 * Writes `elementCount` normals of deviation `std`, picked from `drawNormals`. With `repeats` only the first 8 MiB are
 * picked and each later 8 MiB are the first ones with other low bits in their fractions: a table of any size is then
 * written at a disk's speed, and still no two rows (of at least 8 bytes) are equal but by chance.
 */
export async function writeNormals(
  options: {
    elementCount: number;
    dtype: 'F32' | 'BF16';
    std: number;
    normals: Float32Array;
    random: Random;
    repeats: boolean;
  },
  sink: ByteSink,
): Promise<void> {
  const { elementCount, dtype, std, normals, random, repeats } = options;
  const drawn = fromFloat32(
    dtype,
    normals.map((normal) => normal * std),
  );
  const byteCount = elementCount * DTYPE_BYTES[dtype];
  const pieceBytes = Math.min(PIECE_BYTES, Math.ceil(byteCount / 8) * 8);
  const block = new Uint8Array(pieceBytes);
  const pieces = [block, new Uint8Array(pieceBytes), new Uint8Array(repeats ? pieceBytes : 0)];
  let pending = Promise.resolve();
  // One piece is written while the next is filled; `pending` is always awaited before anything else can be.
  for (let done = 0, count = 0; done < byteCount; done += pieceBytes, count++) {
    const piece = repeats && count > 0 ? pieces[1 + (count % 2)] : pieces[count % 2];
    if (repeats && count > 0) vary(block, piece, dtype, count);
    else pick(drawn, piece, dtype, random);
    await pending;
    pending = sink.write(piece.subarray(0, Math.min(pieceBytes, byteCount - done)));
  }
  await pending;
}

function pick(drawn: Uint8Array, piece: Uint8Array, dtype: 'F32' | 'BF16', random: Random): void {
  const [from, into] =
    dtype === 'F32'
      ? [new Uint32Array(drawn.buffer), new Uint32Array(piece.buffer)]
      : [new Uint16Array(drawn.buffer), new Uint16Array(piece.buffer)];
  for (let i = 0; i < into.length; i += 2) {
    const bits = random.uint32();
    into[i] = from[bits >>> 16];
    into[i + 1] = from[bits & 0xffff];
  }
}

/** Flips fraction bits alike in every 8 bytes of the block; each `count` up to 2^24 flips others. */
function vary(block: Uint8Array, piece: Uint8Array, dtype: 'F32' | 'BF16', count: number): void {
  const code = Math.imul(count, 0x9e3779b1) & 0xffffff; // odd factor: one code for each count, far from its neighbours
  const [even, odd] = [code & 0xfff, code >>> 12].map((bits) =>
    dtype === 'F32' ? bits << 8 : (bits & 0x3f) | ((bits >>> 6) << 16),
  ) as [number, number];
  const from = new Uint32Array(block.buffer);
  const into = new Uint32Array(piece.buffer);
  for (let i = 0; i < into.length; i += 2) {
    into[i] = from[i] ^ even;
    into[i + 1] = from[i + 1] ^ odd;
  }
}
