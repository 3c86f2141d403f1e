import type { Connection } from './connection.ts';
import type { Inbox } from './inbox.ts';

/** The sending half of a connection, as each transport does it. */
export interface Sender {
  readonly peerName: string;
  /** Sends one message and returns its bytes; 0 when the connection has ended. */
  send(pieces: readonly Uint8Array[]): number;
  close(reason: string): void;
  bufferedBytes(): number;
}

/** Both halves as one connection. */
export function connectionOver(inbox: Inbox, sender: Sender): Connection {
  let sentBytes = 0;
  return {
    peerName: sender.peerName,
    send: (pieces) => {
      sentBytes += sender.send(pieces);
    },
    close: (reason) => sender.close(reason),
    get bufferedBytes() {
      return sender.bufferedBytes();
    },
    get sentBytes() {
      return sentBytes;
    },
    get receivedBytes() {
      return inbox.receivedBytes;
    },
    set onMessage(handler: (message: Uint8Array) => void) {
      inbox.setOnMessage(handler);
    },
    set onClose(handler: (reason: string) => void) {
      inbox.setOnClose(handler);
    },
  };
}
