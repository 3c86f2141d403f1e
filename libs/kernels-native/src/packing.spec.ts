import { createReferenceKernels, type Kernels } from '@ultramem/kernels';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createNativeKernels } from './native-kernels.ts';
import { probeNative } from './probe-native.ts';

/** Rows of f32 of any bits; some have only finite ones, which int8 needs. */
const problems = fc
  .record({
    width: fc.integer({ min: 1, max: 200 }),
    rowCount: fc.integer({ min: 0, max: 5 }),
    finite: fc.boolean(),
  })
  .chain(({ width, rowCount, finite }) =>
    fc.record({
      width: fc.constant(width),
      values: fc
        .array(fc.integer({ min: 0, max: 0xffffffff }), {
          minLength: width * rowCount,
          maxLength: width * rowCount,
        })
        .map((words) => new Float32Array(Uint32Array.from(words, finite ? finiteWord : Number).buffer)),
    }),
  );

describe.skipIf(!probeNative().available)('native packing', () => {
  const reference = createReferenceKernels();
  let kernels: Kernels;
  beforeAll(() => {
    kernels = createNativeKernels({ threads: 2 });
  });
  afterAll(() => kernels.close());

  it.each(['bf16', 'int8'] as const)('has the bits of the reference in %s', async (encoding) => {
    await fc.assert(
      fc.asyncProperty(problems, async ({ width, values }) => {
        const want = await reference.packVectors(values, width, encoding);
        expect(await kernels.packVectors(values, width, encoding)).toEqual(want);
        if (want === null) return;
        const numbers = await reference.unpackVectors(want, values.length, width, encoding);
        expect(await kernels.unpackVectors(want, values.length, width, encoding)).toEqual(numbers);
      }),
    );
  });

  it.each(['bf16', 'int8'] as const)(
    'leaves the event loop alone while it packs much to %s',
    async (encoding) => {
      const width = 384;
      const values = Float32Array.from({ length: 20_000 * width }, (_, i) => (i % 1021) - 510);
      const packing = kernels.packVectors(values, width, encoding);
      expect(await Promise.race([packing, Promise.resolve('later')])).toBe('later');
      const want = await reference.packVectors(values, width, encoding);
      expect(Buffer.compare((await packing) ?? new Uint8Array(0), want ?? new Uint8Array(1))).toBe(0);
      values[values.length - 1] = Number.NaN;
      expect((await kernels.packVectors(values, width, encoding)) === null).toBe(encoding === 'int8');
    },
  );
});

function finiteWord(word: number): number {
  return (word & 0x7f800000) === 0x7f800000 ? word & 0xbfffffff : word;
}
