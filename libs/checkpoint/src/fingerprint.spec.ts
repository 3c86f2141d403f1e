import { describe, expect, it } from 'vitest';
import { fingerprint } from './fingerprint.ts';
import type { StoredTensor } from './stored-tensors.ts';

const SMALL = new Uint8Array(1000).fill(1);
const LARGE = new Uint8Array(1_000_000).fill(2);

describe('fingerprint', () => {
  it('sees configuration, names, dtypes and shapes', async () => {
    const prints = await Promise.all([
      fingerprint('{}', [stored('a', SMALL)]),
      fingerprint('{ }', [stored('a', SMALL)]),
      fingerprint('{}', [stored('b', SMALL)]),
      fingerprint('{}', [stored('a', SMALL, 'I8')]),
      fingerprint('{}', [stored('a', SMALL, 'U8', [10, 100])]),
      fingerprint('{}', [stored('a', SMALL), stored('b', new Uint8Array(0))]),
    ]);
    expect(new Set(prints).size).toBe(prints.length);
  });

  it('sees every byte of a small tensor and both ends of a large one', async () => {
    const prints = [await fingerprint('', [stored('a', SMALL)]), await fingerprint('', [stored('a', LARGE)])];
    for (const at of [0, 500, 999]) prints.push(await fingerprint('', [stored('a', changed(SMALL, at))]));
    for (const at of [0, 63, 66_662, 999_936, 999_999])
      prints.push(await fingerprint('', [stored('a', changed(LARGE, at))]));
    expect(new Set(prints).size).toBe(prints.length);
  });

  it('reads at most 1 KiB of a large tensor, and one of middle size at once', async () => {
    const reads: number[] = [];
    await fingerprint('', [stored('a', LARGE, 'U8', [LARGE.length], reads)]);
    expect(reads).toEqual(Array(16).fill(64));
    reads.length = 0;
    await fingerprint('', [stored('a', LARGE.subarray(0, 5000), 'U8', [5000], reads)]);
    expect(reads).toEqual([5000]);
  });
});

function changed(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = 99;
  return copy;
}

function stored(
  name: string,
  bytes: Uint8Array,
  dtype = 'U8',
  shape = [bytes.length],
  reads: number[] = [],
): StoredTensor {
  return {
    entry: { name, dtype, shape, begin: 8, end: 8 + bytes.length },
    fileName: 'file',
    file: null,
    read: async (first, byteCount) => {
      reads.push(byteCount);
      return bytes.slice(first, first + byteCount);
    },
  };
}
