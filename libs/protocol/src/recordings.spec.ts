import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readRecordings } from '../fixtures/recordings.ts';
import { decode, encode } from './codec.ts';
import { definitionOf, KINDS } from './message.ts';

const recordings = readRecordings();

it('has a recording of every kind', () => {
  expect(recordings.map(({ kind }) => kind).sort()).toEqual([...KINDS].sort());
});

it('stands in the README, grammar by grammar (RECORD=1 writes it there)', () => {
  const folder = new URL('messages/', import.meta.url);
  const grammars = readdirSync(folder).map((name) => grammarOf(readFileSync(new URL(name, folder), 'utf8')));
  const readme = new URL('../README.md', import.meta.url);
  const [before, , after] = readFileSync(readme, 'utf8').split(
    /(?<=<!-- grammars -->\n)|(?=<!-- end of grammars -->)/,
  );
  const expected = `${before}\n${grammars.join('\n')}\n${after}`;
  if (process.env.RECORD === '1') writeFileSync(readme, expected);
  expect(readFileSync(readme, 'utf8')).toBe(expected);
});

describe.each(recordings)('the recorded $kind', ({ kind, message, bytes }) => {
  it('is what encode writes', () => {
    expect(Buffer.concat(encode(message)).toString('hex')).toBe(Buffer.from(bytes).toString('hex'));
  });

  it('is what decode reads', () => {
    expect(decode(bytes)).toEqual(message);
  });

  it('is plain msgpack for a reader that knows nothing of this code', () => {
    const [head, ...rest] = miniRead(bytes) as [
      Record<string, unknown>,
      ...{ start: number; bytes: Uint8Array }[],
    ];
    const bulk = Object.entries(definitionOf(kind)?.bulk ?? {});
    const fields: Record<string, unknown> = { ...message };
    for (const [index, [name, element]] of bulk.entries()) {
      const tensor = rest[2 * index + 1]!;
      expect(tensor.start % 8).toBe(0);
      expect(miniNumbers(tensor.bytes, element)).toEqual([...(fields[name] as Float32Array)]);
      delete fields[name];
    }
    expect(rest).toHaveLength(2 * bulk.length);
    expect(head).toEqual(fields);
  });
});

/** The comment above a message's definition: prose, then the grammar. */
function grammarOf(source: string): string {
  const comment =
    source.slice(0, source.indexOf('export const')).match(/\/\*\*\n([\s\S]*?)\n \*\/\n$/)?.[1] ?? '';
  const [prose = '', grammar = ''] = comment.replace(/^ \* ?/gm, '').split('\n\n');
  return `${prose}\n\n\`\`\`\n${grammar}\n\`\`\`\n`;
}

/** A second, independent reading of the msgpack specification: just what the protocol's README promises. */
function miniRead(bytes: Uint8Array): unknown {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const uint = (size: number): number => {
    at += size;
    return size === 1 ? view.getUint8(at - 1) : size === 2 ? view.getUint16(at - 2) : view.getUint32(at - 4);
  };
  const text = (length: number): string => {
    at += length;
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(at - length, at));
  };
  const bin = (length: number): { start: number; bytes: Uint8Array } => {
    at += length;
    return { start: at - length, bytes: bytes.subarray(at - length, at) };
  };
  const list = (length: number): unknown[] => Array.from({ length }, () => value());
  const map = (length: number): Record<string, unknown> =>
    Object.fromEntries(Array.from({ length }, () => [value(), value()]));
  const value = (): unknown => {
    const token = uint(1);
    if (token < 0x80) return token;
    if (token < 0x90) return map(token & 0x0f);
    if (token < 0xa0) return list(token & 0x0f);
    if (token < 0xc0) return text(token & 0x1f);
    if (token >= 0xe0) return token - 256;
    switch (token) {
      case 0xc0:
        return null;
      case 0xc2:
      case 0xc3:
        return token === 0xc3;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return bin(uint(2 ** (token - 0xc4)));
      case 0xcb:
        at += 8;
        return view.getFloat64(at - 8);
      case 0xcc:
      case 0xcd:
      case 0xce:
        return uint(2 ** (token - 0xcc));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return text(uint(2 ** (token - 0xd9)));
      case 0xdc:
        return list(uint(2));
      case 0xde:
        return map(uint(2));
    }
    throw new Error(`byte ${token} at ${at - 1}`);
  };
  const document = value();
  expect(at).toBe(bytes.length);
  return document;
}

function miniNumbers(bytes: Uint8Array, element: string): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const size = element === 'u8' ? 1 : element === 'f64' ? 8 : 4;
  return Array.from({ length: bytes.length / size }, (_, i) => {
    if (element === 'u8') return view.getUint8(i);
    if (element === 'f64') return view.getFloat64(i * size, true);
    return element === 'f32' ? view.getFloat32(i * size, true) : view.getUint32(i * size, true);
  });
}
