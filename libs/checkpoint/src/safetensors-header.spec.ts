import { OperatingError } from '@ultramem/invariant';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryDirectory } from './memory-directory.ts';
import { readSafetensorsHeader, type SafetensorsHeader } from './safetensors-header.ts';
import { safetensorsHeader } from './write-safetensors.ts';

const A = { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] };
const B = { dtype: 'I64', shape: [1], data_offsets: [24, 32] };

describe('readSafetensorsHeader', () => {
  it('gives tensors in the order of their data', async () => {
    const header = await parse({ b: B, a: A, __metadata__: { kind: 'test' } }, 32);
    expect(header.tensors.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(header.tensors[0]).toEqual({ name: 'a', dtype: 'F32', shape: [2, 3], begin: 0, end: 24 });
    expect(header.metadata).toEqual({ kind: 'test' });
  });

  it('reads what safetensorsHeader writes', async () => {
    const dtype = fc.constantFrom('I64' as const, 'F32' as const, 'BF16' as const, 'F16' as const);
    const entry = fc.record({ name: fc.string(), dtype, shape: fc.array(fc.nat(5), { maxLength: 4 }) });
    const entries = fc
      .uniqueArray(entry, { selector: ({ name }) => name, maxLength: 6 })
      .filter((list) => list.every(({ name }) => name !== '__metadata__' && name !== '__proto__'));
    await fc.assert(
      fc.asyncProperty(entries, async (list) => {
        const { header, offsets, fileByteCount } = safetensorsHeader(list, { note: 'ü' });
        expect(header.byteLength % 64).toBe(0);
        const file = new Uint8Array(fileByteCount);
        file.set(header);
        const read = await readFile(file);
        expect(read.metadata).toEqual({ note: 'ü' });
        for (const [i, { name, dtype: written, shape }] of list.entries()) {
          const found = read.tensors.find((tensor) => tensor.name === name);
          expect(found).toMatchObject({ dtype: written, shape, begin: offsets[i] - read.dataOffset });
        }
      }),
    );
  });

  it('lets a dtype pass that only this runtime cannot use', async () => {
    const odd = {
      x: { dtype: 'F6_E2M3', shape: [4], data_offsets: [0, 3] },
      y: { dtype: 'F64', shape: [], data_offsets: [3, 11] },
    };
    expect((await parse(odd, 11)).tensors.map(({ dtype }) => dtype)).toEqual(['F6_E2M3', 'F64']);
  });

  it('lets empty tensors pass', async () => {
    const empty = { dtype: 'F32', shape: [0, 2 ** 40, 2 ** 40], data_offsets: [24, 24] };
    expect((await parse({ a: A, empty }, 24)).tensors).toHaveLength(2);
  });
});

const wrong: [why: string, file: Uint8Array, message: RegExp][] = [
  ['shorter than a length', new Uint8Array(7), /has 7 bytes; expected the 8 bytes/],
  [
    'header over the limit',
    fileOf('{}', 0, 100_000_001),
    /gives its header 100000001 bytes; expected at most/,
  ],
  ['a length of 2^64 - 1', new Uint8Array(16).fill(255), /gives its header 18446744073709552000 bytes/],
  ['header longer than the file', fileOf('{}', 0, 3), /header 3 bytes, but the file has only 10/],
  ['not JSON', fileOf('{"a":', 0), /is not JSON/],
  ['not UTF-8', Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x22, 0xff, 0x7d), /is not JSON/],
  ['an empty header', fileOf('', 0), /is not JSON/],
  ['a list', fileOf('[]', 0), /is not an object/],
  ['null', fileOf('null', 0), /is not an object/],
  [
    'a key twice',
    fileOf(`{"a":${JSON.stringify(A)},"\\u0061":${JSON.stringify(A)}}`, 24),
    /has the key "a" twice/,
  ],
  ['an inner key twice', fileOf('{"a":{"dtype":"F32", "dtype" : "I64"}}', 0), /has the key "dtype" twice/],
  ['no description', json({ a: 3 }, 0), /tensor "a" is not described/],
  ['no dtype', json({ a: { shape: [1], data_offsets: [0, 4] } }, 4), /tensor "a" has the dtype undefined/],
  ['unknown dtype', json({ a: { ...A, dtype: 'F33' } }, 24), /has the dtype "F33"/],
  ['inherited dtype', json({ a: { ...A, dtype: 'constructor' } }, 24), /has the dtype "constructor"/],
  ['no shape', json({ a: { ...A, shape: null } }, 24), /has the shape null/],
  ['negative size', json({ a: { ...A, shape: [-2, -3] } }, 24), /has the shape \[-2,-3\]/],
  ['half size', json({ a: { ...A, shape: [1.5, 4] } }, 24), /has the shape \[1.5,4\]/],
  ['size as text', json({ a: { ...A, shape: ['2', 3] } }, 24), /has the shape/],
  ['one offset', json({ a: { ...A, data_offsets: [0] } }, 24), /has the data_offsets \[0\]/],
  ['negative offset', json({ a: { ...A, data_offsets: [-24, 0] } }, 24), /has the data_offsets \[-24,0\]/],
  ['begin behind end', json({ a: { ...A, data_offsets: [24, 0] } }, 24), /begins at byte 24 and ends at 0/],
  [
    'shape over bytes',
    json({ a: { ...A, shape: [2, 4] } }, 24),
    /shape \[2,4\] has 24 bytes of data; expected 32/,
  ],
  ['overflowing shape', json({ a: { ...A, shape: [2 ** 52, 2 ** 52] } }, 24), /has 24 bytes of data/],
  ['cut off', json({ a: A, b: B }, 31), /"b" ends at byte 32 of the data, but the file has only 31/],
  [
    'inside the file but not the data',
    json({ a: A }, 20),
    /"a" ends at byte 24 of the data, but the file has only 20/,
  ],
  ['overlap', json({ a: A, b: { ...B, data_offsets: [20, 28] } }, 28), /"b" overlaps tensor "a"/],
  ['same place', json({ a: A, c: A }, 24), /"c" overlaps tensor "a"/],
  ['hole', json({ a: A, b: { ...B, data_offsets: [25, 33] } }, 33), /"b" has 1 unused bytes before it/],
  ['hole at the start', json({ a: { ...A, data_offsets: [8, 32] } }, 32), /"a" has 8 unused bytes before it/],
  ['rest', json({ a: A }, 25), /has 1 bytes behind its last tensor/],
  ['metadata of numbers', json({ a: A, __metadata__: { n: 1 } }, 24), /__metadata__ is not a map of strings/],
  ['metadata list', json({ a: A, __metadata__: [] }, 24), /__metadata__ is not a map of strings/],
];

describe('malformed headers', () => {
  it.each(wrong)('%s', async (_why, file, message) => {
    const error = await readFile(file).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OperatingError);
    expect(error).toMatchObject({ code: 'CHECKPOINT_INVALID', message: expect.stringMatching(message) });
    expect((error as OperatingError).message).toMatch(/dir\/model\.safetensors.*; expected .*; \w/);
  });
});

function json(header: unknown, dataBytes: number): Uint8Array {
  return fileOf(JSON.stringify(header), dataBytes);
}

function fileOf(header: string, dataBytes: number, headerBytes?: number): Uint8Array {
  const text = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + text.byteLength + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes ?? text.byteLength), true);
  file.set(text, 8);
  return file;
}

function parse(header: unknown, dataBytes: number): Promise<SafetensorsHeader> {
  return readFile(json(header, dataBytes));
}

async function readFile(file: Uint8Array): Promise<SafetensorsHeader> {
  const source = await memoryDirectory('dir', new Map([['model.safetensors', file]])).open(
    'model.safetensors',
  );
  return readSafetensorsHeader(source!);
}
