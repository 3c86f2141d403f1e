import { Buffer } from 'node:buffer';
import type { Duplex } from 'node:stream';
import { BUFFERED_BYTES_MAX } from '@ultramem/protocol';
import { type Connection, connectionOver, createInbox } from '@ultramem/transport';
import type { RawData, WebSocket } from 'ws';
import { frameHeader } from './frame-header.ts';

/** How long a closing handshake may take before the socket is cut. */
const CLOSE_TIMEOUT_MS = 1000;
/** RFC 6455: a control frame holds 125 bytes, two of them the code. */
const CLOSE_REASON_BYTES_MAX = 123;
const CLOSE_NORMAL = 1000;
const CLOSE_UNSUPPORTED_DATA = 1003;
const CLOSE_POLICY = 1008;

/**
 * An open WebSocket as a connection.
 *
 * @param raw the stream below it. Messages are framed here: ws makes a frame and a system call of every piece of a message, and
 * the receiver of several frames copies each of them once more.
 */
export function websocketConnection(
  socket: WebSocket,
  raw: Duplex,
  { peerName, isClient }: { peerName: string; isClient: boolean },
): Connection {
  const inbox = createInbox();
  let ownReason: string | null = null;
  let lastError: Error | null = null;
  let cutTimer: NodeJS.Timeout | undefined;

  const close = (code: number, reason: string): void => {
    if (ownReason !== null || socket.readyState !== socket.OPEN) return;
    ownReason = reason;
    socket.close(code, shortened(reason));
    cutTimer = setTimeout(() => socket.terminate(), CLOSE_TIMEOUT_MS);
  };
  socket.on('message', (data, isBinary) => {
    if (ownReason !== null) return;
    if (isBinary) inbox.deliver(messageBytes(data));
    else close(CLOSE_UNSUPPORTED_DATA, 'a text frame arrived; expected binary frames');
  });
  // ws answers each ping; to a peer that reads none of the answers they would pile up.
  socket.on('ping', () => {
    if (socket.bufferedAmount > BUFFERED_BYTES_MAX) close(CLOSE_POLICY, 'pings came and nothing was read');
  });
  // A 'close' follows every error; the error only explains it.
  socket.on('error', (error) => {
    lastError = error;
  });
  socket.on('close', (code, reason) => {
    clearTimeout(cutTimer);
    inbox.close(
      ownReason ?? lastError?.message ?? (reason.length > 0 ? reason.toString() : `WebSocket code ${code}`),
    );
  });
  return connectionOver(inbox, {
    peerName,
    send: (pieces) => {
      if (socket.readyState !== socket.OPEN) return 0;
      const byteCount = lengthOf(pieces);
      const header = frameHeader(byteCount, isClient);
      if (pieces.length === 1) raw.write(Buffer.concat([header, pieces[0]]));
      else {
        raw.cork();
        raw.write(header);
        for (const piece of pieces) raw.write(piece);
        raw.uncork();
      }
      return byteCount;
    },
    close: (reason) => close(CLOSE_NORMAL, reason),
    bufferedBytes: () => socket.bufferedAmount,
  });
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length;
}

/** With the binary type `nodebuffer` it is one Buffer already; the other forms belong to the type only. */
function messageBytes(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data;
}

function shortened(reason: string): string {
  const bytes = Buffer.from(reason);
  if (bytes.length <= CLOSE_REASON_BYTES_MAX) return reason;
  let end = CLOSE_REASON_BYTES_MAX;
  while ((bytes[end] & 0xc0) === 0x80) end--; // not in the middle of a character
  return bytes.toString('utf8', 0, end);
}
