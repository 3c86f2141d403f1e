import { AssertionError } from '@ultramem/invariant';
import { definitionOf, encode, type Message } from '@ultramem/protocol';
import fc from 'fast-check';
import { readRecordings } from '../../libs/protocol/fixtures/recordings.ts';

const recordings = readRecordings();
const EXTREMES = [0, 1, 2, 255, 256, 65_535, 2 ** 31, 2 ** 32 - 1, 2 ** 53 - 1, -1, 0.5, 1e308];

/** Messages as a broken or hostile peer sends them: noise, recordings cut short, overwritten, run together, and whole messages with absurd fields. */
export function hostileBytes(except: readonly string[] = []): fc.Arbitrary<Uint8Array> {
  const usable = recordings.filter(({ kind }) => !except.includes(kind));
  const recording = fc.constantFrom(...usable);
  const bytes = recording.map((one) => one.bytes);
  return fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    bytes,
    fc.tuple(bytes, fc.nat()).map(([whole, at]) => whole.slice(0, at % whole.length)),
    fc
      .tuple(bytes, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }))
      .map(([whole, writes]) => overwritten(whole, writes)),
    fc.tuple(bytes, bytes).map(([one, other]) => new Uint8Array(Buffer.concat([one, other]))),
    fc
      .tuple(recording, fc.nat(), fc.constantFrom(...EXTREMES), fc.float())
      .map(([one, at, number, float]) => absurd(one.message, at, number, float)),
  );
}

function overwritten(whole: Uint8Array, writes: readonly (readonly [number, number])[]): Uint8Array {
  const bytes = whole.slice();
  for (const [at, byte] of writes) bytes[at % bytes.length] = byte;
  return bytes;
}

/** One field replaced, where the grammar still holds; the bytes as recorded where it does not. */
function absurd(message: Message, at: number, number: number, float: number): Uint8Array {
  const names = Object.keys(message).filter((name) => name !== 'kind');
  const name = names[at % names.length]!;
  const old = Reflect.get(message, name) as unknown;
  const isTensor = Object.hasOwn(definitionOf(message.kind)!.bulk, name);
  const value = isTensor
    ? (old as Float32Array).map(() => (Number.isInteger(number) ? number : float))
    : number;
  try {
    return new Uint8Array(Buffer.concat(encode({ ...message, [name]: value } as Message)));
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error;
    return new Uint8Array(Buffer.concat(encode(message)));
  }
}
