import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A whole small model of the golden vectors: v1, 32 x 32 slots, two memory layers, 256 tokens. */
export const SMALL_MODEL = fileURLToPath(new URL('../vectors/model_v1', import.meta.url));

export interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

export type Header = Record<string, Entry>;

/** A copy of the small model in a new directory. */
export function copyModel(directory: string): void {
  cpSync(SMALL_MODEL, directory, { recursive: true });
}

export function editConfig(directory: string, edit: (text: string) => string): void {
  const file = join(directory, 'config.json');
  writeFileSync(file, edit(readFileSync(file, 'utf8')));
}

export function setConfig(directory: string, changes: Record<string, unknown>): void {
  editConfig(directory, (text) => JSON.stringify({ ...JSON.parse(text), ...changes }));
}

export function editFile(directory: string, edit: (bytes: Buffer) => Uint8Array): void {
  const file = join(directory, 'model.safetensors');
  writeFileSync(file, edit(readFileSync(file)));
}

/** Changes the header of the safetensors file; its data stay where they are in relation to it. */
export function editHeader(
  directory: string,
  edit: (header: Header, name: (part: string) => string) => void,
): void {
  editFile(directory, (bytes) => {
    const { header, data } = parts(bytes);
    edit(header, (part) => nameOf(header, part));
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([length, text, data]);
  });
}

/** Overwrites the first bytes of the tensor whose name has `part` in it. */
export function editTensor(directory: string, part: string, edit: (tensor: Buffer) => void): void {
  editFile(directory, (bytes) => {
    const { header, data } = parts(bytes);
    const [start, end] = header[nameOf(header, part)]?.data_offsets ?? [0, 0];
    edit(data.subarray(start, end));
    return bytes;
  });
}

function parts(bytes: Buffer): { header: Header; data: Buffer } {
  const headerEnd = 8 + Number(bytes.readBigUInt64LE(0));
  const header: Header = JSON.parse(bytes.toString('utf8', 8, headerEnd));
  return { header, data: bytes.subarray(headerEnd) };
}

function nameOf(header: Header, part: string): string {
  const name = Object.keys(header).find((one) => one.includes(part));
  if (name === undefined) throw new Error(`no tensor has ${part} in its name`);
  return name;
}
