import type { Message } from './message.ts';

export function encode(message: Message): Uint8Array[] {
  throw new Error(message.kind);
}
export function decode(bytes: Uint8Array, bytesMax = 0): Message {
  throw new Error(String(bytes.length + bytesMax));
}
