import { assert } from '@ultramem/invariant';
import type { Kernels } from '../kernels.ts';
import type { PackedEncoding } from '../packed-vectors.ts';
import { type ConformanceCase, expectAssertion, expectSame } from './checks.ts';
import { bytesInside, inside, normals } from './inputs.ts';

const BLOCK = 64;
const F32_MAX = 3.4028234663852886e38;
const DENORMAL = 2 ** -149;
const ENCODINGS: readonly PackedEncoding[] = ['bf16', 'int8'];

/** Rows of one width: narrower than a vector, ragged, of whole blocks, and as many as are cut into pieces. */
const SHAPES: [rowCount: number, width: number][] = [
  ...[1, 3, 7, 16, 31, 63, 64, 65, 100, 128, 200, 384].map((width): [number, number] => [5, width]),
  [1, 9],
  [700, 96],
  [3000, 3],
  [1, 70_001],
  [0, 64],
  [0, 0],
];

/** Numbers that decide how something is rounded; each also negative. */
const EDGES: [what: string, values: readonly number[]][] = [
  ['zeros', [0, -0]],
  ['ties of bf16', [1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -23, 1 + 2 ** -8 - 2 ** -23]],
  ['ties of int8', [127, 0.5, 1.5, 2.5, 125.5, 126.5]],
  ['numbers beside ties of int8', [127, ...[0.5, 1.5, 63.5, 126.5].flatMap(neighbours)]],
  ['a scale between two bf16', [127 * (1 + 2 ** -8), 127, 64.25]],
  ['a scale just above a bf16', [neighbours(127)[1], 1, 2]],
  ['a scale just below a bf16', [neighbours(127)[0], 1, 2]],
  ['denormals', [DENORMAL, 3 * DENORMAL, 2 ** -127, 2 ** -130 + DENORMAL, 0]],
  ['the least scale', [127 * 2 ** -126, neighbours(127 * 2 ** -126)[1], 2 ** -127, 2 ** -126 * 3.5]],
  ['denormals beside huge numbers', [F32_MAX, DENORMAL, 2 ** -126]],
  ['huge numbers', [F32_MAX, F32_MAX / 2, 2 ** 127, 2 ** 120]],
];

export function packCases(): ConformanceCase[] {
  return ENCODINGS.flatMap((encoding) => [
    ...SHAPES.map(
      ([rowCount, width]): ConformanceCase => ({
        name: `packVectors: ${rowCount} rows of ${width} to ${encoding}`,
        run: (kernels) => expectPacked(kernels, mixed(rowCount, width), width, encoding),
      }),
    ),
    ...EDGES.map(
      ([what, values]): ConformanceCase => ({
        name: `packVectors: ${what} to ${encoding}`,
        run: async (kernels) => {
          // In every lane, and in a block that is not whole.
          const signed = values.flatMap((value) => [value, -value]);
          for (const width of [64, 67, 64 + signed.length])
            await expectPacked(
              kernels,
              Float32Array.from(
                { length: 7 * width },
                (_, i) => signed[(i + Math.floor(i / width)) % signed.length],
              ),
              width,
              encoding,
            );
        },
      }),
    ),
    ...ruleCases(encoding),
  ]);
}

function ruleCases(encoding: PackedEncoding): ConformanceCase[] {
  return [
    {
      name: `packVectors: what is not finite to ${encoding}`,
      run: async (kernels) => {
        // The last is a NaN whose upper half alone would be an infinity.
        for (const word of [0x7fc00000, 0x7f800000, 0xff800000, 0x7f800001])
          for (const at of [0, 70, 199, 200 * 300 - 1]) {
            const values = normals(3, 200 * 300);
            new Uint32Array(values.buffer)[at] = word;
            if (encoding === 'bf16') await expectPacked(kernels, values, 200, encoding);
            else if ((await kernels.packVectors(values, 200, encoding)) !== null)
              throw new Error(`expected nothing where number ${at} is ${values[at]}`);
          }
      },
    },
    {
      name: `packVectors: rows that are not whole to ${encoding} are an assertion`,
      run: async (kernels) => {
        await expectAssertion(() => kernels.packVectors(new Float32Array(13), 6, encoding));
        await expectAssertion(() => kernels.packVectors(new Float32Array(1), 0, encoding));
        await expectAssertion(() => kernels.unpackVectors(new Uint8Array(26), 13, 6, encoding));
      },
    },
    {
      name: `unpackVectors: bytes of another number of vectors in ${encoding}`,
      run: async (kernels) => {
        const bytes = await kernels.packVectors(new Float32Array(12), 6, encoding);
        assert(bytes !== null, 'zeros are finite');
        for (const [wrong, count] of [
          [bytes.subarray(1), 12],
          [bytes, 18],
          [bytes, 0],
        ] as const)
          if ((await kernels.unpackVectors(wrong, count, 6, encoding)) !== null)
            throw new Error(`expected nothing of ${wrong.length} bytes for ${count} numbers`);
      },
    },
    {
      name: `unpackVectors: any bytes of ${encoding}`,
      run: async (kernels) => {
        // Every bf16, also as a scale: those that nothing rounds to may still arrive.
        const width = encoding === 'bf16' ? 1024 : 70;
        const rows = encoding === 'bf16' ? 64 : 2000;
        const rowBytes = encoding === 'bf16' ? 2 * width : width + 4;
        const bytes = Uint8Array.from({ length: rows * rowBytes }, (_, i) => (i * 37 + (i >> 8) * 101) % 256);
        if (encoding === 'bf16') for (let i = 0; i < 65_536; i++) bytes.set([i & 0xff, i >> 8], 2 * i);
        await expectUnpacked(kernels, bytes, rows * width, width, encoding);
      },
    },
  ];
}

async function expectPacked(
  kernels: Kernels,
  values: Float32Array,
  width: number,
  encoding: PackedEncoding,
): Promise<void> {
  const want = encoding === 'bf16' ? naiveBf16(values) : naiveInt8(values, width);
  const got = await kernels.packVectors(inside(values), width, encoding);
  if (got === null) throw new Error('expected bytes, as every number is finite');
  expectSame('the packed bytes', got, want);
  await expectUnpacked(kernels, want, values.length, width, encoding);
}

async function expectUnpacked(
  kernels: Kernels,
  bytes: Uint8Array,
  count: number,
  width: number,
  encoding: PackedEncoding,
): Promise<void> {
  const got = await kernels.unpackVectors(bytesInside(bytes), count, width, encoding);
  if (got === null) throw new Error('expected numbers, as there are bytes for each');
  const want = new Float32Array(count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const rowBytes = width + 2 * Math.ceil(width / BLOCK);
  for (let i = 0; i < count; i++) {
    const at = Math.floor(i / width) * rowBytes;
    const block = Math.floor((i % width) / BLOCK);
    want[i] =
      encoding === 'bf16'
        ? bf16At(view, 2 * i)
        : bf16At(view, at + width + 2 * block) * view.getInt8(at + (i % width));
  }
  expectSame('the numbers', got, want);
}

/** The nearer of the two bf16 beside each number, by their distance; of two as near the one whose last bit is 0. */
function naiveBf16(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(2 * values.length);
  const view = new DataView(bytes.buffer);
  const words = new Uint32Array(values.slice().buffer);
  for (const [i, value] of values.entries()) {
    const low = words[i] >>> 16;
    if (Number.isFinite(value)) {
      const below = Math.abs(value) - magnitudeOf(low);
      const above = magnitudeOf(low + 1) - Math.abs(value);
      view.setUint16(2 * i, above < below || (above === below && low % 2 === 1) ? low + 1 : low, true);
    } else view.setUint16(2 * i, Number.isNaN(value) ? low | 0x40 : low, true);
  }
  return bytes;
}

/** As `INT8_BLOCK64` says it: the least scale of which 127 reach the largest number, then the nearest multiple, halves upwards. */
function naiveInt8(values: Float32Array, width: number): Uint8Array {
  const blocks = Math.ceil(width / BLOCK);
  const rowBytes = width + 2 * blocks;
  const rowCount = width === 0 ? 0 : values.length / width;
  const bytes = new Uint8Array(rowCount * rowBytes);
  const view = new DataView(bytes.buffer);
  for (let row = 0; row < rowCount; row++)
    for (let block = 0; block < blocks; block++) {
      const from = block * BLOCK;
      const numbers = values.subarray(row * width + from, row * width + Math.min(width, from + BLOCK));
      const largest = numbers.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const scale = leastScale(largest);
      view.setUint16(row * rowBytes + width + 2 * block, scale, true);
      for (const [i, value] of numbers.entries())
        view.setInt8(
          row * rowBytes + from + i,
          scale === 0 ? 0 : Math.floor(value / magnitudeOf(scale) + 0.5),
        );
    }
  return bytes;
}

function leastScale(largest: number): number {
  if (largest === 0) return 0;
  let [low, high] = [0x007f, 0x7f7f]; // the first is too small, 2^-126 follows; the last is large enough
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (magnitudeOf(middle) * 127 >= largest) high = middle;
    else low = middle;
  }
  return high;
}

/** Of the bits of a bf16, without their sign; what follows the largest counts as 2^128. */
function magnitudeOf(bits: number): number {
  const exponent = (bits >> 7) & 0xff;
  const fraction = (bits & 0x7f) / 128;
  return exponent === 0 ? fraction * 2 ** -126 : (1 + fraction) * 2 ** (exponent - 127);
}

function bf16At(view: DataView, at: number): number {
  const word = new DataView(new ArrayBuffer(4));
  word.setUint16(2, view.getUint16(at, true), true);
  return word.getFloat32(0, true);
}

/** Of all sizes, so that every block has a scale of its own; some blocks are all zeros. */
function mixed(rowCount: number, width: number): Float32Array {
  return normals(17, rowCount * width).map((value, i) => {
    const block = Math.floor(i / BLOCK) % 9;
    return block === 4 ? 0 : value * 2 ** (30 * (block - 4));
  });
}

function neighbours(value: number): [number, number] {
  const word = new Uint32Array(Float32Array.of(value).buffer);
  return [-1, 1].map((step) => new Float32Array(Uint32Array.of(word[0] + step).buffer)[0]) as [
    number,
    number,
  ];
}
