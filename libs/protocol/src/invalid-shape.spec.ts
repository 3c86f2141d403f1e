import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { notBelow } from './invalid-shape.ts';

describe('notBelow', () => {
  it('names the first byte that is not below the limit, wherever the bytes begin', () => {
    const input = fc.record({
      bytes: fc.array(fc.oneof(fc.nat(255), fc.nat(3)), { maxLength: 23 }),
      start: fc.nat(5),
      limit: fc.oneof(fc.nat(256), fc.constantFrom(1, 2, 4, 127, 128, 129, 255, 256)),
    });
    fc.assert(
      fc.property(input, ({ bytes, start, limit }) => {
        const view = Uint8Array.from([...new Array(start).fill(255), ...bytes]).subarray(start);
        const at = bytes.findIndex((byte) => byte >= limit);
        expect(notBelow('block', view, limit, 'blockCount')).toBe(
          at < 0 ? null : `block[${at}] is ${bytes[at]}; expected below blockCount, ${limit}`,
        );
      }),
      { numRuns: 1000 },
    );
  });
});
