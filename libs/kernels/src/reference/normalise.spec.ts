import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normalise } from './normalise.ts';

const finite = fc.float({ min: -100, max: 100, noNaN: true });

describe('normalise', () => {
  it('gives rows a mean square of 1 (rms)', () => {
    fc.assert(
      fc.property(
        fc.float32Array({ minLength: 12, maxLength: 12, min: -100, max: 100, noNaN: true }),
        (x) => {
          fc.pre([0, 4, 8].every((row) => x.subarray(row, row + 4).some((value) => Math.abs(value) > 0.1)));
          const y = normalise({ kind: 'rms', eps: 1e-12, weight: null, bias: null }, x, 4);
          for (const row of [0, 4, 8])
            expect(y.subarray(row, row + 4).reduce((sum, v) => sum + v * v, 0) / 4).toBeCloseTo(1, 5);
        },
      ),
    );
  });

  it('ignores what all features have in common (layer)', () => {
    fc.assert(
      fc.property(
        fc.float32Array({ minLength: 5, maxLength: 5, min: -9, max: 9, noNaN: true }),
        finite,
        (x, shift) => {
          const norm = { kind: 'layer', eps: 1, weight: null, bias: null } as const;
          const shifted = normalise(
            norm,
            Float32Array.from(x, (value) => value + shift),
            5,
          );
          for (const [i, value] of normalise(norm, x, 5).entries()) expect(shifted[i]).toBeCloseTo(value, 4);
        },
      ),
    );
  });

  it('applies eps, weight and bias as written in SEMANTICS 1.1', () => {
    const norm = { eps: 1, weight: Float32Array.of(2, 3), bias: Float32Array.of(10, 20) };
    const x = Float32Array.of(1, 3);
    const rms = 1 / Math.sqrt((1 + 9) / 2 + 1);
    expect([...normalise({ kind: 'rms', ...norm }, x, 2)]).toEqual(
      [2 * rms + 10, 9 * rms + 20].map((y) => expect.closeTo(y, 5)),
    );
    const layer = 1 / Math.sqrt(1 + 1);
    expect([...normalise({ kind: 'layer', ...norm }, x, 2)]).toEqual(
      [-2 * layer + 10, 3 * layer + 20].map((y) => expect.closeTo(y, 5)),
    );
  });
});
