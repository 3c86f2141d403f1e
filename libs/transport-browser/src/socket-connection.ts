import { MESSAGE_BYTES_MAX } from '@ultramem/protocol';
import { type Connection, connectionOver, createInbox } from '@ultramem/transport';

/** How long a closing handshake may take before the connection counts as ended. */
const CLOSE_TIMEOUT_MS = 1000;
/** RFC 6455: a control frame holds 125 bytes, two of them the code. */
const CLOSE_REASON_BYTES_MAX = 123;
/** Pages may send 1000 and 3000 to 4999 only: 4003 and 4009 stand for 1003, unsupported data, and 1009, too large. */
const CLOSE_NORMAL = 1000;
const CLOSE_UNSUPPORTED_DATA = 4003;
const CLOSE_TOO_LARGE = 4009;

/** An open WebSocket of binary type `arraybuffer` as a connection. Handlers are set at once: nothing may be missed. */
export function socketConnection(socket: WebSocket, peerName: string): Connection {
  const inbox = createInbox();
  let ownReason: string | null = null;
  let cutTimer: ReturnType<typeof setTimeout> | undefined;

  const end = (reason: string): void => {
    clearTimeout(cutTimer);
    inbox.close(reason);
  };
  const close = (code: number, reason: string): void => {
    if (ownReason !== null || socket.readyState !== WebSocket.OPEN) return;
    ownReason = reason;
    socket.close(code, shortened(reason));
    cutTimer = setTimeout(() => end(reason), CLOSE_TIMEOUT_MS);
  };
  socket.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (ownReason !== null) return;
    if (!(data instanceof ArrayBuffer))
      close(CLOSE_UNSUPPORTED_DATA, 'a text frame arrived; expected binary frames');
    else if (data.byteLength > MESSAGE_BYTES_MAX)
      close(CLOSE_TOO_LARGE, `a message of ${data.byteLength} bytes arrived; expected ${MESSAGE_BYTES_MAX}`);
    else inbox.deliver(new Uint8Array(data));
  };
  socket.onclose = ({ code, reason }) =>
    end(ownReason ?? (reason === '' ? `WebSocket code ${code}` : reason));
  return connectionOver(inbox, {
    peerName,
    send: (pieces) => {
      if (socket.readyState !== WebSocket.OPEN) return 0;
      const message = joined(pieces);
      socket.send(message);
      return message.byteLength;
    },
    close: (reason) => close(CLOSE_NORMAL, reason),
    bufferedBytes: () => socket.bufferedAmount,
  });
}

/** Pages cannot send fragments, so several pieces are copied into one; a single one is not. */
function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const [first] = pieces;
  if (pieces.length === 1 && first !== undefined && first.buffer instanceof ArrayBuffer)
    return first as Uint8Array<ArrayBuffer>;
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function shortened(reason: string): string {
  const bytes = new TextEncoder().encode(reason);
  if (bytes.length <= CLOSE_REASON_BYTES_MAX) return reason;
  let end = CLOSE_REASON_BYTES_MAX;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--; // not in the middle of a character
  return new TextDecoder().decode(bytes.subarray(0, end));
}
