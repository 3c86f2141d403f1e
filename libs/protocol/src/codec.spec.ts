import { AssertionError, OperatingError } from '@ultramem/invariant';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readRecordings } from '../fixtures/recordings.ts';
import { decode, encode } from './codec.ts';
import type { Message, MessageOfKind } from './message.ts';

const recordings = readRecordings();

describe('round trip', () => {
  it('of random messages, at every alignment', () => {
    fc.assert(
      fc.property(fc.oneof(poolMessages, generateMessages, helloMessages), fc.nat(15), (message, shift) => {
        const bytes = joined(encode(message));
        const moved = new Uint8Array(bytes.length + shift).subarray(shift);
        moved.set(bytes);
        expect(decode(moved)).toEqual(message);
        expect(decode(Buffer.from(moved.buffer, shift))).toEqual(message); // whose slice is a view
      }),
    );
  });

  it.each([0, 1, 255, 256, 4095, 4096, 65_535, 65_536, 300_000])(
    'of %i numbers: aligned in the message, a view when that is aligned',
    (count) => {
      const query = Float64Array.from({ length: count }, (_, i) => i / 7);
      const message: MessageOfKind<'dots'> = { kind: 'dots', id: 1, computeMs: 0.5, dots: query };
      const bytes = joined(encode(message));
      for (const shift of [0, 4, 8]) {
        const moved = new Uint8Array(bytes.length + shift).subarray(shift);
        moved.set(bytes);
        const decoded = decode(moved);
        if (decoded.kind !== 'dots') throw new Error(decoded.kind);
        expect(decoded.dots).toEqual(query);
        expect(decoded.dots.buffer === moved.buffer).toBe(shift % 8 === 0);
      }
    },
  );

  it('sends large tensors without copying, small ones with the head', () => {
    const small = encode(dotsOf(new Float64Array(2047)));
    expect(small).toHaveLength(1);
    const dots = new Float64Array(2048);
    const large = encode(dotsOf(dots));
    expect(large).toHaveLength(2);
    expect(large[1]!.buffer).toBe(dots.buffer);
    const mixed = encode({
      kind: 'candidates',
      id: 1,
      tokenCount: 1,
      perSide: 2048,
      computeMs: 1,
      index: new Uint32Array(4096),
      refined: new Float32Array(4096),
    });
    expect(mixed.map(({ length }) => length > 100)).toEqual([false, true, false, true]);
  });

  it('takes part of a larger array', () => {
    const all = Float64Array.from([9, 1, 2, 9]);
    const decoded = decode(joined(encode(dotsOf(all.subarray(1, 3)))));
    expect(decoded).toMatchObject({ dots: Float64Array.from([1, 2]) });
  });
});

describe('an own message that breaks the grammar is a defect', () => {
  const good = dotsOf(new Float64Array(1));
  it.each<[string, Record<string, unknown>, string]>([
    ['a field out of range', { id: -1 }, 'dots.id is -1; expected a whole number of 0 to 4294967295'],
    ['a missing value', { computeMs: undefined }, 'dots.computeMs is undefined; expected a finite number'],
    ['a tensor of the wrong type', { dots: new Float32Array(1) }, 'dots.dots is an array of f64'],
    ['a field too many', { extra: 1 }, 'dots has a field too many'],
    ['an unknown kind', { kind: 'constructor' }, 'a message has a kind of the table'],
  ])('%s', (_name, change, reason) => {
    const broken = { ...good, ...change } as Message;
    expect(() => encode(broken)).toThrow(AssertionError);
    expect(() => encode(broken)).toThrow(reason);
  });

  it('but too large a message is not', () => {
    const tooLarge = (): unknown => encode(dotsOf(new Float64Array(2 ** 25)));
    expect(tooLarge).toThrow(
      /^"dots" has 2684354\d\d bytes; expected at most 268435456; ask for fewer tokens at a time$/,
    );
    expect(tooLarge).toThrow(expect.objectContaining({ code: 'MESSAGE_TOO_LARGE' }));
  });
});

it('an own head that no receiver takes is not sent', () => {
  const prompts = Array.from({ length: 17 }, () => ({ text: 'x'.repeat(4 * 2 ** 20), ids: null }));
  const message: MessageOfKind<'generate'> = {
    kind: 'generate',
    id: 1,
    deadlineMs: 1,
    prompts,
    maxTokens: 1,
    temperature: 0,
    topK: 0,
    topP: 1,
    seed: 0,
    stopAtEos: false,
  };
  expect(() => encode(message)).toThrow(
    expect.objectContaining({
      code: 'MESSAGE_TOO_LARGE',
      message: expect.stringContaining('the head of "generate" has 71303'),
    }),
  );
});

describe('bytes of a stranger', () => {
  it('never do worse than a coded error: random ones', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => expectRefusedOrSound(bytes)),
      { numRuns: 2000 },
    );
    const afterHeader = fc
      .uint8Array({ maxLength: 60 })
      .map((bytes) => joined([Uint8Array.of(0x91, 0x81, 0xa4, 107, 105, 110, 100), bytes]));
    fc.assert(
      fc.property(afterHeader, (bytes) => expectRefusedOrSound(bytes)),
      { numRuns: 2000 },
    );
  });

  it('never do worse than a coded error: recordings with bytes changed, put in, or taken out', () => {
    const mutation = fc.record({
      at: fc.nat(),
      kind: fc.constantFrom('change', 'insert', 'remove'),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 9 }),
    });
    fc.assert(
      fc.property(
        fc.constantFrom(...recordings),
        fc.array(mutation, { minLength: 1, maxLength: 4 }),
        ({ bytes }, mutations) => {
          let mutated = bytes;
          for (const { at, kind, bytes: inserted } of mutations) {
            const start = at % (mutated.length + 1);
            const end = kind === 'insert' ? start : start + inserted.length;
            mutated = joined([
              mutated.subarray(0, start),
              kind === 'remove' ? new Uint8Array(0) : inserted,
              mutated.subarray(end),
            ]);
          }
          expectRefusedOrSound(mutated);
        },
      ),
      { numRuns: 5000 },
    );
  });

  it.each(recordings)('cut off anywhere or continued are malformed: $kind', ({ bytes }) => {
    for (let length = 0; length < bytes.length; length++)
      expectMalformed(bytes.subarray(0, length), / bytes too early; | begins with nothing; /);
    expectMalformed(
      joined([bytes, Uint8Array.of(0xc0)]),
      /is followed by 1 more bytes; expected the end of the message/,
    );
  });

  it('above the limit are refused unread', () => {
    const call = (): unknown => decode(new Uint8Array(17), 16);
    expect(call).toThrow('a message has 17 bytes; expected at most 16; ask for fewer tokens at a time');
    expect(call).toThrow(expect.objectContaining({ code: 'MESSAGE_TOO_LARGE' }));
  });

  it('with a head above its limit are refused', () => {
    const filler = 64 * 2 ** 20;
    const call = (): unknown =>
      decode(joined([[0x91, 0x81, 0xa1, 97, 0xdb, ...bigEndian(filler)], new Uint8Array(filler)]));
    expect(call).toThrow(
      expect.objectContaining({
        code: 'MESSAGE_TOO_LARGE',
        message: expect.stringContaining('a head has 67108872 bytes'),
      }),
    );
  });

  const id = [...str('id'), 1];
  const kind = (name: string): number[] => [...str('kind'), ...str(name)];
  const dots = [0x93, 0x83, ...kind('dots'), ...id, ...str('computeMs'), 1];
  it.each<[string, number[], RegExp]>([
    ['no array', [0xc0], /^the message begins with byte 0xc0; expected a msgpack array/],
    ['an empty array', [0x90], /^the message is an empty array; expected its head/],
    ['a head that is no map', [0x91, 0x90], /^the head begins with byte 0x90; expected a msgpack map/],
    ['no kind', [0x91, 0x81, ...id], /^the kind of the message is undefined; expected a known kind/],
    [
      'an unknown kind',
      [0x91, 0x81, ...kind('x'.repeat(31))],
      /^the kind of the message is "x{31}"; expected a known kind/,
    ],
    [
      'a kind every object has',
      [0x91, 0x81, ...kind('toString')],
      /^the kind of the message is "toString"; expected a known kind/,
    ],
    [
      'a kind that is long',
      [0x91, 0x81, ...str('kind'), 0xdc, 0x27, 0x10, ...new Array<number>(10_000).fill(7)],
      /^the kind of the message is a list of 10000; expected a known kind/,
    ],
    [
      'a kind that is a number',
      [0x91, 0x81, ...str('kind'), 7],
      /^the kind of the message is 7; expected a known kind/,
    ],
    [
      'a missing field',
      [0x91, 0x81, ...kind('cancel')],
      /^cancel\.id is missing; expected a map with the keys kind, id/,
    ],
    [
      'an unknown field',
      [0x91, 0x83, ...kind('cancel'), ...id, ...str('extra'), 1],
      /^cancel has the unknown key "extra"/,
    ],
    [
      '__proto__',
      [0x91, 0x83, ...kind('cancel'), ...id, ...str('__proto__'), 0x80],
      /^cancel has the unknown key "__proto_"/,
    ],
    [
      '__proto__ in place of a field',
      [0x91, 0x82, ...kind('cancel'), ...str('__proto__'), 0x81, ...id],
      /^cancel\.id is missing/,
    ],
    ['a field twice', [0x91, 0x83, ...kind('cancel'), ...id, ...id], /^a map of the head has a key twice/],
    ['a key that is no string', [0x91, 0x81, 1, 1], /^a map key begins with byte 0x01; expected a string/],
    [
      'an extension',
      [0x91, 0x82, ...kind('cancel'), ...str('id'), 0xd4, 0x72, 0x40],
      /^the head holds byte 0xd4, a bin or an extension/,
    ],
    [
      'a date',
      [0x91, 0x82, ...kind('cancel'), ...str('id'), 0xd6, 0xff, 0, 0, 0, 0],
      /^the head holds byte 0xd6/,
    ],
    [
      'a bin in the head',
      [0x91, 0x82, ...kind('cancel'), ...str('id'), 0xc4, 1, 0],
      /^the head holds byte 0xc4/,
    ],
    [
      'the byte that means nothing',
      [0x91, 0x82, ...kind('cancel'), ...str('id'), 0xc1],
      /^the head holds byte 0xc1/,
    ],
    [
      'deep nesting',
      [0x91, 0x81, ...str('kind'), ...Array<number>(100_000).fill(0x91)],
      /^the head is nested deeper than 8/,
    ],
    [
      'deep maps',
      [0x91, ...Array.from({ length: 9 }, () => [0x81, ...str('a')]).flat(), 1],
      /^the head is nested deeper than 8/,
    ],
    ['a list of four billion', [0x91, 0x81, ...str('kind'), 0xdd, 255, 255, 255, 255], /bytes too early/],
    ['a map of four billion', [0x91, 0xdf, 255, 255, 255, 255], /bytes too early/],
    [
      'a string of four billion',
      [0x91, 0x81, ...str('kind'), 0xdb, 255, 255, 255, 255],
      /^the message ends 4294967295 bytes too early/,
    ],
    [
      'a bin of four billion',
      [...dots, 0xc6, 255, 255, 255, 255],
      /^the message ends 4294967295 bytes too early/,
    ],
    [
      'an integer that no double holds',
      [0x91, 0x82, ...kind('cancel'), ...str('id'), 0xcf, ...Array<number>(8).fill(255)],
      /^cancel\.id is 18446744073709552000; expected a whole number/,
    ],
    [
      'a fraction for an id',
      [0x91, 0x82, ...kind('cancel'), ...str('id'), 0xca, 0x3f, 0, 0, 0],
      /^cancel\.id is 0\.5; expected a whole number/,
    ],
    [
      'not a number',
      [0x93, 0x83, ...kind('dots'), ...id, ...str('computeMs'), 0xca, 0x7f, 0xc0, 0, 0, 0xc4, 0, 0xc4, 0],
      /^dots\.computeMs is NaN; expected a finite number/,
    ],
    [
      'too few tensors',
      [0x91, ...dots.slice(1)],
      /^dots has 1 elements; expected 3: the head, then pad and bytes of each tensor/,
    ],
    [
      'a pad that is no bin',
      [...dots, 0xc0, 0xc4, 0],
      /^the pad of dots\.dots begins with byte 0xc0; expected a msgpack bin/,
    ],
    [
      'a pad too long',
      [...dots, 0xc4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0xc4, 0],
      /^the pad of dots\.dots has 8 bytes or is not zero/,
    ],
    [
      'a pad that says something',
      [...dots, 0xc4, 1, 9, 0xc4, 0],
      /^the pad of dots\.dots has 1 bytes or is not zero/,
    ],
    [
      'part of a number',
      [...dots, 0xc4, 0, 0xc4, 3, 0, 0, 0],
      /^dots\.dots has 3 bytes; expected a multiple of 8 for f64/,
    ],
  ])('with %s are malformed', (_name, bytes, reason) => {
    expectMalformed(Uint8Array.from(bytes), reason);
  });

  it('may be written by another library: other header sizes, no pads, any number format', () => {
    const bytes = [
      0xdc,
      0,
      3,
      0xde,
      0,
      3,
      ...str('computeMs'),
      0xca,
      0x3f,
      0x80,
      0,
      0,
      0xd9,
      2,
      105,
      100,
      0xcb,
      0x40,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      ...kind('dots'),
      0xc5,
      0,
      0,
      0xc6,
      0,
      0,
      0,
      8,
      ...[0, 0, 0, 0, 0, 0, 0xf0, 0x3f],
    ];
    expect(decode(Uint8Array.from(bytes))).toEqual({
      kind: 'dots',
      id: 2,
      computeMs: 1,
      dots: Float64Array.of(1),
    });
  });
});

function dotsOf(dots: Float64Array): MessageOfKind<'dots'> {
  return { kind: 'dots', id: 1, computeMs: 1, dots };
}

const u32s = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const doubles = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0); // -0 travels as 0
const words = (maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: 'grapheme', maxLength: maxLength / 8 }).filter((word) => word.length <= maxLength);

const poolMessages: fc.Arbitrary<Message> = fc
  .record({
    runs: fc.array(fc.nat(5), { maxLength: 6 }),
    coreCount: fc.integer({ min: 1, max: 4 }),
    preWidth: fc.nat(3),
    seed: u32s,
  })
  .map(({ runs, coreCount, preWidth, seed }) => {
    const entryCount = runs.reduce((sum, run) => sum + run, 0);
    const floats = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => (i - seed) / 3);
    return {
      kind: 'pool',
      id: seed,
      deadlineMs: 1,
      epoch: 1,
      layer: 0,
      tokenCount: runs.length,
      blockCount: 4,
      coreCount,
      activation: seed % 2 === 0,
      encoding: 'f32',
      entryStart: Uint32Array.from([
        0,
        ...runs.map((_, i) => runs.slice(0, i + 1).reduce((sum, run) => sum + run, 0)),
      ]),
      slot: Uint32Array.from({ length: entryCount }, (_, i) => seed + i),
      block: Uint8Array.from({ length: entryCount }, (_, i) => i % 4),
      weight: floats(entryCount * coreCount),
      preQuery: floats(runs.length * preWidth),
    };
  });

const generateMessages: fc.Arbitrary<Message> = fc.record({
  kind: fc.constant('generate' as const),
  id: u32s,
  deadlineMs: u32s,
  prompts: fc.array(
    fc.oneof(
      fc.record({ text: words(400), ids: fc.constant(null) }),
      fc.record({ text: fc.constant(null), ids: fc.array(u32s, { maxLength: 40 }) }),
    ),
    { minLength: 1, maxLength: 20 },
  ),
  maxTokens: u32s,
  temperature: doubles.map(Math.abs),
  topK: u32s,
  topP: fc.constantFrom(0.1, 0.95, 1),
  seed: fc.maxSafeNat(),
  stopAtEos: fc.boolean(),
});

const helloMessages: fc.Arbitrary<Message> = fc
  .option(
    fc.record({
      workerId: words(128),
      instance: words(128),
      capacityBytes: fc.maxSafeNat(),
      backend: words(128),
      fingerprint: words(128),
    }),
  )
  .chain((worker) =>
    fc.record({
      kind: fc.constant('hello' as const),
      protocolMin: fc.constant(1),
      protocolMax: u32s.map((version) => Math.max(1, version)),
      software: words(128),
      role: fc.constant(worker === null ? ('client' as const) : ('worker' as const)),
      token: fc.option(words(2048), { nil: null }),
      worker: fc.constant(worker),
    }),
  );

/** Refused with a code and a reason in three parts, or a message that survives being written and read again. */
function expectRefusedOrSound(bytes: Uint8Array): void {
  let message: Message;
  try {
    message = decode(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(OperatingError);
    if (!(error instanceof OperatingError)) return;
    expect(['MALFORMED_MESSAGE', 'MESSAGE_TOO_LARGE']).toContain(error.code);
    expect(error.message).toMatch(/^[\s\S]+; expected [\s\S]+; [^;]+$/);
    return;
  }
  const again = joined(encode(message));
  expect(joined(encode(decode(again)))).toEqual(again);
}

function expectMalformed(bytes: Uint8Array, reason: RegExp): void {
  expect(() => decode(bytes)).toThrow(reason);
  expect(() => decode(bytes)).toThrow(
    expect.objectContaining({ code: 'MALFORMED_MESSAGE', retriable: false }),
  );
  expect(() => decode(bytes)).toThrow(/; send what the protocol's README describes$/);
}

function joined(parts: readonly (Uint8Array | number[])[]): Uint8Array {
  return new Uint8Array(
    Buffer.concat(parts.map((part) => (part instanceof Uint8Array ? part : Uint8Array.from(part)))),
  );
}

function str(text: string): number[] {
  return [0xa0 + text.length, ...Buffer.from(text)];
}

function bigEndian(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}
