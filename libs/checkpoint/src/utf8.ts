import { utf8ToBytes } from '@noble/hashes/utils.js';

// Every JavaScript runtime has it, but only the DOM's and Node's typings declare it, and pure libs do without both.
declare const TextDecoder: new (
  label: 'utf-8',
  options: { fatal: true },
) => { decode(bytes: Uint8Array): string };

/** @throws TypeError for bytes that are not UTF-8 */
export function decodeUtf8(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

export function encodeUtf8(text: string): Uint8Array {
  return utf8ToBytes(text);
}
