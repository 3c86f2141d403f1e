import { assert } from '@ultramem/invariant';
import { Packr, Unpackr } from 'msgpackr';
import { codedError } from './coded-error.ts';
import type { BulkArrays, BulkElement, MessageDefinition } from './define-message.ts';
import { HEAD_BYTES_MAX, JOIN_BYTES_MAX, MESSAGE_BYTES_MAX } from './limits.ts';
import { definitionOf, type Message } from './message.ts';
import { shown } from './schema.ts';
import { type Cursor, malformed, readArrayHeader, readBin, walkMap } from './walk-msgpack.ts';

// Our own types: msgpackr's mention Buffer, which this library does not know. Records are a private extension.
const packr: { pack(value: Record<string, unknown>): Uint8Array } = new Packr({
  useRecords: false,
  variableMapSize: true,
});
const unpackr: { unpack(bytes: Uint8Array): Record<string, unknown> } = new Unpackr({
  useRecords: false,
  int64AsType: 'number',
});

const ALIGNMENT = 8;
const ELEMENT_BYTES = { f32: 4, f64: 8, u32: 4, u8: 1 } as const;

assert(
  new Uint8Array(new Uint16Array([1]).buffer)[0] === 1,
  'tensors travel as they lie in memory, which is little-endian',
);

/**
 * The bytes of one message, in pieces: one msgpack document `[head, pad, tensor, pad, tensor, ...]` in which every tensor's
 * bytes start at a multiple of 8. Large tensors are pieces of their own and share memory with the message.
 *
 * @throws OperatingError MESSAGE_TOO_LARGE. A message that breaks its own grammar is an assertion.
 */
export function encode(message: Message): Uint8Array[] {
  const definition = definitionOf(message.kind);
  assert(definition !== undefined, 'a message has a kind of the table');
  const head = packr.pack(checkedHead(message, definition));
  if (head.length > HEAD_BYTES_MAX)
    throw tooLarge(`the head of "${message.kind}" has ${head.length} bytes`, HEAD_BYTES_MAX);
  const tensors = definition.tensors.map(([name, element]) =>
    checkedTensor(message, definition, name, element),
  );
  const { length, joinedLength } = lengthsOf(head, tensors);
  if (length > MESSAGE_BYTES_MAX) throw tooLarge(`"${message.kind}" has ${length} bytes`, MESSAGE_BYTES_MAX);
  // One allocation for all that is small; large tensors stay where they are, between views of it.
  const joined = new Uint8Array(joinedLength);
  joined[0] = 0x90 + 1 + 2 * tensors.length;
  joined.set(head, 1);
  const pieces: Uint8Array[] = [];
  let at = 1 + head.length;
  let pieceStart = 0;
  let position = at; // in the message
  for (const tensor of tensors) {
    const byteCount = tensor.byteLength;
    const headersLength = writeHeaders(joined, at, position, byteCount);
    at += headersLength;
    position += headersLength + byteCount;
    if (byteCount === 0) continue;
    const bytes = new Uint8Array(tensor.buffer, tensor.byteOffset, byteCount);
    if (byteCount < JOIN_BYTES_MAX) {
      joined.set(bytes, at);
      at += byteCount;
    } else {
      pieces.push(joined.subarray(pieceStart, at), bytes);
      pieceStart = at;
    }
  }
  if (pieceStart < at) pieces.push(pieceStart === 0 ? joined : joined.subarray(pieceStart));
  return pieces;
}

/**
 * The message that `bytes` hold, completely checked. Its tensors are views of `bytes` where they are aligned, else copies.
 *
 * @throws OperatingError MALFORMED_MESSAGE, MESSAGE_TOO_LARGE; never anything else, whatever the bytes are.
 */
export function decode(bytes: Uint8Array, bytesMax: number = MESSAGE_BYTES_MAX): Message {
  if (bytes.length > bytesMax) throw tooLarge(`a message has ${bytes.length} bytes`, bytesMax);
  const cursor: Cursor = { bytes, position: 0 };
  const elementCount = readArrayHeader(cursor);
  if (elementCount === 0) throw malformed('the message is an empty array; expected its head');
  const head = readHead(cursor);
  const { kind } = head;
  const definition = typeof kind === 'string' ? definitionOf(kind) : undefined;
  if (definition === undefined)
    throw malformed(`the kind of the message is ${shown(kind)}; expected a known kind`);
  const reason = definition.invalidHead(head);
  if (reason !== null) throw malformed(reason);
  readTensors(cursor, elementCount, definition, head);
  const relation = definition.invalid(head);
  if (relation !== null) throw malformed(relation);
  // Kind, head, element types and relations have been checked against the definition: this is the one cast.
  return head as Message;
}

function readHead(cursor: Cursor): Record<string, unknown> {
  const start = cursor.position;
  const entryCount = walkMap(cursor);
  if (cursor.position - start > HEAD_BYTES_MAX)
    throw tooLarge(`a head has ${cursor.position - start} bytes`, HEAD_BYTES_MAX);
  const head = unpackr.unpack(cursor.bytes.subarray(start, cursor.position));
  // msgpackr keeps the last of equal keys, other decoders the first: refuse instead of guessing.
  if (countEntries(head) !== entryCount)
    throw malformed('a map of the head has a key twice; expected each once');
  return head;
}

function countEntries(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  for (const inner of Object.values(value)) count += countEntries(inner) + 1;
  return Array.isArray(value) ? count - value.length : count;
}

/** Adds the tensors to the head, which makes it the message. */
function readTensors(
  cursor: Cursor,
  elementCount: number,
  definition: MessageDefinition,
  message: Record<string, unknown>,
): void {
  const { kind, tensors } = definition;
  const expectedCount = 1 + 2 * tensors.length;
  if (elementCount !== expectedCount)
    throw malformed(
      `${kind} has ${elementCount} elements; expected ${expectedCount}: the head, then pad and bytes of each tensor`,
    );
  for (const [name, element] of tensors) {
    const pad = readBin(cursor, 'the pad of ', kind, name);
    if (!isPad(pad))
      throw malformed(
        `the pad of ${kind}.${name} has ${pad.length} bytes or is not zero; expected 0 to 7 zero bytes`,
      );
    const bytes = readBin(cursor, '', kind, name);
    if (bytes.length % ELEMENT_BYTES[element] !== 0)
      throw malformed(
        `${kind}.${name} has ${bytes.length} bytes; expected a multiple of ${ELEMENT_BYTES[element]} for ${element}`,
      );
    message[name] = typed(bytes, element);
  }
  if (cursor.position !== cursor.bytes.length)
    throw malformed(
      `${kind} is followed by ${cursor.bytes.length - cursor.position} more bytes; expected the end of the message`,
    );
}

function isPad(bytes: Uint8Array): boolean {
  if (bytes.length >= ALIGNMENT) return false;
  for (const byte of bytes) if (byte !== 0) return false;
  return true;
}

function typed(bytes: Uint8Array, element: BulkElement): BulkArrays[BulkElement] {
  let source = bytes;
  if (bytes.byteOffset % ELEMENT_BYTES[element] !== 0) {
    source = new Uint8Array(bytes.length); // not `slice`, which is a view where the bytes are a Buffer
    source.set(bytes);
  }
  const count = source.byteLength / ELEMENT_BYTES[element];
  switch (element) {
    case 'f32':
      return new Float32Array(source.buffer, source.byteOffset, count);
    case 'f64':
      return new Float64Array(source.buffer, source.byteOffset, count);
    case 'u32':
      return new Uint32Array(source.buffer, source.byteOffset, count);
    case 'u8':
      return new Uint8Array(source.buffer, source.byteOffset, count);
  }
}

/** Only plain values reach msgpackr, which writes garbage for typed arrays other than Uint8Array. */
function checkedHead(message: Message, definition: MessageDefinition): Record<string, unknown> {
  const { kind, headNames, tensors } = definition;
  const head: Record<string, unknown> = {};
  for (const name of headNames) head[name] = field(message, name);
  const reason = definition.invalidHead(head) ?? definition.invalid(message);
  assert(reason === null, `own message: ${reason}`);
  assert(
    Object.keys(message).length === headNames.length + tensors.length,
    `own message: ${kind} has a field too many`,
  );
  return head;
}

function checkedTensor(
  message: Message,
  { kind }: MessageDefinition,
  name: string,
  element: BulkElement,
): BulkArrays[BulkElement] {
  const tensor = field(message, name);
  assert(isElementArray(tensor, element), `own message: ${kind}.${name} is an array of ${element}`);
  return tensor;
}

function field(message: Readonly<Record<string, unknown>>, name: string): unknown {
  return message[name];
}

function isElementArray(value: unknown, element: BulkElement): value is BulkArrays[BulkElement] {
  switch (element) {
    case 'f32':
      return value instanceof Float32Array;
    case 'f64':
      return value instanceof Float64Array;
    case 'u32':
      return value instanceof Uint32Array;
    case 'u8':
      return value instanceof Uint8Array;
  }
}

/** Bytes of the whole message, and of all of it but large tensors. */
function lengthsOf(
  head: Uint8Array,
  tensors: readonly BulkArrays[BulkElement][],
): { length: number; joinedLength: number } {
  let length = 1 + head.length;
  let joinedLength = length;
  for (const { byteLength } of tensors) {
    const headersLength = 2 + padBytes(length, byteLength) + binHeaderBytes(byteLength);
    length += headersLength + byteLength;
    joinedLength += headersLength + (byteLength < JOIN_BYTES_MAX ? byteLength : 0);
  }
  return { length, joinedLength };
}

/** Zero bytes that bring a tensor whose pad starts at `position` of the message to the next multiple of 8. */
function padBytes(position: number, byteCount: number): number {
  return (ALIGNMENT - ((position + 2 + binHeaderBytes(byteCount)) % ALIGNMENT)) % ALIGNMENT;
}

function binHeaderBytes(byteCount: number): number {
  return byteCount < 2 ** 8 ? 2 : byteCount < 2 ** 16 ? 3 : 5;
}

/** Writes pad and `bin` header of a tensor into fresh bytes and answers how many they are. */
function writeHeaders(into: Uint8Array, start: number, position: number, byteCount: number): number {
  let at = start;
  const pad = padBytes(position, byteCount);
  into[at++] = 0xc4;
  into[at++] = pad;
  at += pad;
  const lengthBytes = binHeaderBytes(byteCount) - 1;
  into[at++] = lengthBytes === 1 ? 0xc4 : lengthBytes === 2 ? 0xc5 : 0xc6;
  for (let i = lengthBytes - 1; i >= 0; i--) into[at++] = (byteCount >>> (8 * i)) & 0xff;
  return at - start;
}

function tooLarge(what: string, bytesMax: number): Error {
  return codedError(
    'MESSAGE_TOO_LARGE',
    `${what}; expected at most ${bytesMax}; ask for fewer tokens at a time`,
  );
}
