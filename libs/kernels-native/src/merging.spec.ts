import { createRandom } from '@ultramem/environment';
import { createReferenceKernels, type Kernels, type PooledPart, type PooledSize } from '@ultramem/kernels';
import { rangeLength } from '@ultramem/ultramem';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createNativeKernels } from './native-kernels.ts';
import { probeNative } from './probe-native.ts';

/** A merge by its sizes; every number in it follows from these. */
const problems = fc.record({
  seed: fc.integer({ min: 1, max: 1 << 30 }),
  tokenCount: fc.integer({ min: 0, max: 150 }),
  blockCount: fc.integer({ min: 0, max: 5 }),
  width: fc.integer({ min: 0, max: 90 }),
  rowParts: fc.integer({ min: 0, max: 9 }),
  columnParts: fc.integer({ min: 1, max: 4 }),
  hitPercent: fc.constantFrom(0, 30, 80, 100),
});
type Problem = typeof problems extends fc.Arbitrary<infer T> ? T : never;

describe.skipIf(!probeNative().available)('native merging', () => {
  const reference = createReferenceKernels();
  let kernels: Kernels;
  beforeAll(() => {
    kernels = createNativeKernels({ threads: 2 });
  });
  afterAll(() => kernels.close());

  it('has the bits of the reference, also the signs of zeros that nobody sent', async () => {
    await fc.assert(
      fc.asyncProperty(problems, async (problem) => {
        const parts = partsOf(problem);
        const want = await reference.mergePartials(parts, problem);
        expect(await kernels.mergePartials(parts, problem)).toEqual(want);
      }),
    );
  });

  it('stays within its arrays when token numbers change before a thread reads them', async () => {
    const size: PooledSize = { tokenCount: 3000, blockCount: 4, width: 256 }; // too large to be done at once
    const parts = [0, 1, 2].map(
      (): PooledPart => ({
        token: Uint32Array.from({ length: size.tokenCount }, (_, t) => t),
        columns: { start: 0, end: size.width },
        pooled: new Float32Array(size.tokenCount * size.blockCount * size.width).fill(1),
      }),
    );
    const merged = kernels.mergePartials(parts, size);
    for (const [i, { token }] of parts.entries()) token.fill([0xffffffff, 0, 2999][i]);
    expect((await merged).every((sum) => [0, 1, 2, 3].includes(sum))).toBe(true);
  });
});

function partsOf(problem: Problem): PooledPart[] {
  const { seed, tokenCount, blockCount, width, rowParts, columnParts, hitPercent } = problem;
  const random = createRandom(seed);
  const cut = (part: number) => Math.floor((width * part) / columnParts);
  const parts: PooledPart[] = [];
  for (let row = 0; row < rowParts; row++) {
    const token = Uint32Array.from({ length: tokenCount }, (_, t) => t).filter(
      () => random.uint32() % 100 < hitPercent,
    );
    for (let part = 0; part < columnParts; part++) {
      const columns = { start: cut(part), end: cut(part + 1) };
      const pooled = Float32Array.from(
        { length: token.length * blockCount * rangeLength(columns) },
        () => random.normal() * [0, -0, 1, 2 ** 60, 2 ** -149][random.uint32() % 5],
      );
      parts.push({ token: token.slice(), columns, pooled });
    }
  }
  return parts;
}
