import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, fromFloat32, toFloat32 } from './dtype.ts';

describe.each([
  ['BF16' as const, bf16ToF32, f32ToBf16, 7, -126],
  ['F16' as const, f16ToF32, f32ToF16, 10, -14],
])('%s', (dtype, widen, narrow, fractionBits, exponentMin) => {
  it('widens every value to what its bits mean, and back to the same bits', () => {
    const bias = 1 - exponentMin;
    for (let bits = 0; bits < 65536; bits++) {
      const exponent = (bits & 0x7fff) >> fractionBits;
      const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
      const value = widen(bits);
      if (exponent === 2 * bias + 1) {
        if (fraction === 0) expect(value).toBe(bits >> 15 ? -Infinity : Infinity);
        else expect([value, widen(narrow(value))]).toEqual([NaN, NaN]);
        continue;
      }
      const magnitude =
        exponent === 0 ? fraction * 2 ** exponentMin : (1 + fraction) * 2 ** (exponent - bias);
      if (!Object.is(value, bits >> 15 ? -magnitude : magnitude)) expect(value).toBe(magnitude);
      if (narrow(value) !== bits) expect(narrow(value)).toBe(bits);
    }
  });

  it('rounds to the nearest, ties to even', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const bits = narrow(value);
        const distance = Math.abs(finite(widen(bits)) - value);
        for (const neighbour of [bits - 1, bits + 1]) {
          if (neighbour < 0 || neighbour > 65535 || (neighbour ^ bits) & 0x8000) continue;
          const other = widen(neighbour);
          if (Number.isNaN(other)) continue;
          const otherDistance = Math.abs(finite(other) - value);
          expect(distance < otherDistance || (distance === otherDistance && bits % 2 === 0)).toBe(true);
        }
      }),
      { numRuns: 5000 },
    );

    // Half way between two neighbours, and f32's step to either side of it.
    for (let bits = 0; bits < narrow(1e30) - 1; bits += 7) {
      const [below, above] = [widen(bits), widen(bits + 1)];
      if (!Number.isFinite(above)) break;
      const middle = (below + above) / 2;
      expect(narrow(middle)).toBe(bits % 2 === 0 ? bits : bits + 1);
      if (Math.fround(middle * (1 + 2 ** -20)) > middle)
        expect(narrow(middle * (1 + 2 ** -20))).toBe(bits + 1);
      if (Math.fround(middle * (1 - 2 ** -20)) < middle) expect(narrow(middle * (1 - 2 ** -20))).toBe(bits);
    }
  });

  it('converts arrays as it does single values', () => {
    const values = fc.array(fc.float(), { maxLength: 20 }).map((list) => Float32Array.from(list));
    fc.assert(
      fc.property(values, (floats) => {
        const bytes = fromFloat32(dtype, floats);
        expect(bytes.byteLength).toBe(2 * floats.length);
        expect([...new Uint16Array(bytes.buffer)].map(widen)).toEqual(
          [...floats].map((value) => widen(narrow(value))),
        );
        expect([...toFloat32(dtype, bytes)]).toEqual([...floats].map((value) => widen(narrow(value))));
      }),
    );
  });

  // An infinite neighbour counts as the power of two that would follow the largest finite value.
  function finite(value: number): number {
    if (Number.isFinite(value)) return value;
    return Math.sign(value) * 2 ** (2 - exponentMin);
  }
});

it('F32 stays as it is, in memory of its own', () => {
  const floats = Float32Array.of(1.5, -0, Infinity);
  const bytes = fromFloat32('F32', floats);
  const back = toFloat32('F32', bytes);
  bytes.fill(0);
  expect([...back]).toEqual([1.5, -0, Infinity]);
  expect([...floats]).toEqual([1.5, -0, Infinity]);
});
