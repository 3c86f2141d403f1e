import { codedError } from './coded-error.ts';
import { HEAD_DEPTH_MAX } from './limits.ts';

/** A place in a message. Every `read…` moves it on or throws MALFORMED_MESSAGE; nothing reads past the end. */
export interface Cursor {
  readonly bytes: Uint8Array;
  position: number;
}

/** @param reason `what was wrong; expected what` */
export function malformed(reason: string): Error {
  return codedError('MALFORMED_MESSAGE', `${reason}; send what the protocol's README describes`);
}

/** The number of elements of an array header of any size. */
export function readArrayHeader(cursor: Cursor): number {
  const token = readUint(cursor, 1);
  if (token >= 0x90 && token <= 0x9f) return token - 0x90;
  if (token === 0xdc) return readUint(cursor, 2);
  if (token === 0xdd) return readUint(cursor, 4);
  throw malformed(`the message begins with byte ${hex(token)}; expected a msgpack array`);
}

/** The bytes of a `bin` of any header size, as a view. The names are for errors. */
export function readBin(cursor: Cursor, role: string, kind: string, name: string): Uint8Array {
  const token = readUint(cursor, 1);
  if (token < 0xc4 || token > 0xc6)
    throw malformed(`${role}${kind}.${name} begins with byte ${hex(token)}; expected a msgpack bin`);
  const length = readUint(cursor, 2 ** (token - 0xc4));
  const start = cursor.position;
  skip(cursor, length);
  return cursor.bytes.subarray(start, start + length);
}

/**
 * Moves over one map and answers how many entries it and the maps inside have. Only nil, booleans, numbers, strings,
 * arrays and maps with string keys pass, at a depth that no stack minds: whatever decodes these bytes afterwards meets
 * no extension, no absurd length and no deep nesting.
 */
export function walkMap(cursor: Cursor): number {
  const token = cursor.bytes[cursor.position];
  if (token === undefined || mapLengthBytes(token) === null)
    throw malformed(
      `the head begins with ${token === undefined ? 'nothing' : `byte ${hex(token)}`}; expected a msgpack map`,
    );
  return walkValue(cursor, 1);
}

function walkValue(cursor: Cursor, depth: number): number {
  const token = readUint(cursor, 1);
  const mapBytes = mapLengthBytes(token);
  if (mapBytes !== null)
    return walkEntries(cursor, mapBytes === 0 ? token - 0x80 : readUint(cursor, mapBytes), depth);
  if (token >= 0x90 && token <= 0x9f) return walkElements(cursor, token - 0x90, depth);
  if (token === 0xdc || token === 0xdd)
    return walkElements(cursor, readUint(cursor, token === 0xdc ? 2 : 4), depth);
  const textBytes = textLengthBytes(token);
  if (textBytes !== null) skip(cursor, textBytes === 0 ? token - 0xa0 : readUint(cursor, textBytes));
  else skip(cursor, scalarBytes(token));
  return 0;
}

function walkEntries(cursor: Cursor, count: number, depth: number): number {
  checkDepth(depth);
  let entries = count;
  for (let entry = 0; entry < count; entry++) {
    const token = readUint(cursor, 1);
    const lengthBytes = textLengthBytes(token);
    if (lengthBytes === null) throw malformed(`a map key begins with byte ${hex(token)}; expected a string`);
    skip(cursor, lengthBytes === 0 ? token - 0xa0 : readUint(cursor, lengthBytes));
    entries += walkValue(cursor, depth + 1);
  }
  return entries;
}

function walkElements(cursor: Cursor, count: number, depth: number): number {
  checkDepth(depth);
  let entries = 0;
  for (let element = 0; element < count; element++) entries += walkValue(cursor, depth + 1);
  return entries;
}

function checkDepth(depth: number): void {
  if (depth > HEAD_DEPTH_MAX)
    throw malformed(`the head is nested deeper than ${HEAD_DEPTH_MAX}; expected at most that`);
}

/** Bytes of the length field of a map; 0 when the token itself holds it, null for other tokens. */
function mapLengthBytes(token: number): number | null {
  if (token >= 0x80 && token <= 0x8f) return 0;
  return token === 0xde ? 2 : token === 0xdf ? 4 : null;
}

function textLengthBytes(token: number): number | null {
  if (token >= 0xa0 && token <= 0xbf) return 0;
  return token >= 0xd9 && token <= 0xdb ? 2 ** (token - 0xd9) : null;
}

/** Bytes after the token of nil, a boolean or a number. */
function scalarBytes(token: number): number {
  if (token < 0x80 || token >= 0xe0 || token === 0xc0 || token === 0xc2 || token === 0xc3) return 0;
  if (token === 0xca || token === 0xcb) return token === 0xca ? 4 : 8;
  if (token >= 0xcc && token <= 0xcf) return 2 ** (token - 0xcc);
  if (token >= 0xd0 && token <= 0xd3) return 2 ** (token - 0xd0);
  throw malformed(`the head holds byte ${hex(token)}, a bin or an extension; expected plain values`);
}

function readUint(cursor: Cursor, byteCount: number): number {
  const start = cursor.position;
  skip(cursor, byteCount);
  if (byteCount === 1) return cursor.bytes[start];
  let value = 0;
  for (let i = start; i < cursor.position; i++) value = value * 256 + cursor.bytes[i];
  return value;
}

function skip(cursor: Cursor, byteCount: number): void {
  const left = cursor.bytes.length - cursor.position;
  if (byteCount > left)
    throw malformed(
      `the message ends ${byteCount - left} bytes too early; expected a whole msgpack document`,
    );
  cursor.position += byteCount;
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}
