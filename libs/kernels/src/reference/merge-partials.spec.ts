import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PooledPart } from '../pooled-part.ts';
import { mergePartials } from './merge-partials.ts';

const f32 = fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 });

describe('mergePartials', () => {
  it('puts columns side by side', () => {
    const parts: PooledPart[] = [
      { token: Uint32Array.of(0, 1), columns: { start: 2, end: 3 }, pooled: Float32Array.of(3, 6) },
      { token: Uint32Array.of(0, 1), columns: { start: 0, end: 2 }, pooled: Float32Array.of(1, 2, 4, 5) },
    ];
    expect(mergePartials(parts, { tokenCount: 2, blockCount: 1, width: 3 })).toEqual(
      Float32Array.of(1, 2, 3, 4, 5, 6),
    );
  });

  it('adds rows, also for tokens that only one of them hit', () => {
    const columns = { start: 0, end: 1 };
    const parts: PooledPart[] = [
      { token: Uint32Array.of(1), columns, pooled: Float32Array.of(1, 2) },
      { token: Uint32Array.of(0, 1), columns, pooled: Float32Array.of(10, 20, 30, 40) },
    ];
    expect(mergePartials(parts, { tokenCount: 2, blockCount: 2, width: 1 })).toEqual(
      Float32Array.of(10, 20, 31, 42),
    );
  });

  it('keeps every bit of one row range, however its columns are cut', () => {
    const size = { tokenCount: 3, blockCount: 2, width: 5 };
    const whole = fc
      .array(f32, { minLength: 30, maxLength: 30 })
      .map((numbers) => Float32Array.from(numbers));
    fc.assert(
      fc.property(whole, fc.integer({ min: 1, max: 4 }), (pooled, cut) => {
        const token = Uint32Array.of(0, 1, 2);
        const part = (start: number, end: number): PooledPart => ({
          token,
          columns: { start, end },
          pooled: Float32Array.from(
            Array.from({ length: 6 }, (_, row) => [
              ...pooled.subarray(row * 5 + start, row * 5 + end),
            ]).flat(),
          ),
        });
        expect(mergePartials([part(cut, 5), part(0, cut)], size)).toEqual(pooled);
      }),
    );
  });

  it('adds any number of row ranges in their order, some of which a token has not hit, in each column range', () => {
    const batch = fc.record({
      rowParts: fc.integer({ min: 2, max: 11 }),
      hit: fc.array(fc.boolean(), { minLength: 33, maxLength: 33 }),
      numbers: fc.array(f32, { minLength: 200, maxLength: 200 }),
    });
    const size = { tokenCount: 3, blockCount: 2, width: 3 };
    fc.assert(
      fc.property(batch, ({ rowParts, hit, numbers }) => {
        const expected = new Float64Array(18).fill(-0);
        const parts: PooledPart[] = [];
        for (let row = 0; row < rowParts; row++)
          for (const columns of [
            { start: 0, end: 2 },
            { start: 2, end: 3 },
          ]) {
            const token = [0, 1, 2].filter((t) => hit[row * 3 + t]);
            const width = columns.end - columns.start;
            const pooled = new Float32Array(token.length * 2 * width);
            for (let i = 0; i < pooled.length; i++) {
              pooled[i] = numbers[(i + 17 * parts.length) % 200];
              const [tokenRow, c] = [Math.floor(i / width), i % width];
              const t = token[Math.floor(tokenRow / 2)];
              expected[(t * 2 + (tokenRow % 2)) * 3 + columns.start + c] += pooled[i];
            }
            parts.push({ token: Uint32Array.from(token), columns, pooled });
          }
        // Whether an untouched sum is 0 or -0 is nobody's business.
        const untouched = [0, 1, 2].filter((t) => !parts.some(({ token }) => token.includes(t)));
        for (const t of untouched) expected.fill(0, t * 6, t * 6 + 6);
        const merged = mergePartials(parts, size);
        for (const t of untouched) merged.fill(0, t * 6, t * 6 + 6);
        expect(merged).toEqual(Float32Array.from(expected));
      }),
    );
  });

  it('rounds a sum over row ranges once', () => {
    const part = (value: number): PooledPart => ({
      token: Uint32Array.of(0),
      columns: { start: 0, end: 1 },
      pooled: Float32Array.of(value),
    });
    // In f32 the two small ones would vanish one after the other.
    const sum = mergePartials([part(2 ** 24), part(1), part(1)], { tokenCount: 1, blockCount: 1, width: 1 });
    expect(sum).toEqual(Float32Array.of(2 ** 24 + 2));
  });
});
