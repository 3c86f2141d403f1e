import { Buffer } from 'node:buffer';

const FINAL_BINARY = 0x82;
const MASKED = 0x80;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const MASK_BYTES = 4;

/**
 * What stands before the bytes of a whole binary message (RFC 6455 section 5.2). Masking protects proxies from web pages, which
 * cannot run this: our clients mask with zeros, which changes no byte.
 */
export function frameHeader(byteCount: number, isMasked: boolean): Buffer {
  const lengthBytes = byteCount < LENGTH_16 ? 0 : byteCount < 2 ** 16 ? 2 : 8;
  const header = Buffer.alloc(2 + lengthBytes + (isMasked ? MASK_BYTES : 0));
  header[0] = FINAL_BINARY;
  header[1] =
    (isMasked ? MASKED : 0) | (lengthBytes === 0 ? byteCount : lengthBytes === 2 ? LENGTH_16 : LENGTH_64);
  if (lengthBytes === 2) header.writeUInt16BE(byteCount, 2);
  if (lengthBytes === 8) header.writeUIntBE(byteCount, 4, 6);
  return header;
}
