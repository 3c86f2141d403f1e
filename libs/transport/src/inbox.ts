/**
 * The receiving half of a connection: what arrives waits until the owner has set its handlers, and the close comes last
 * and once, whoever causes it.
 */
export interface Inbox {
  readonly receivedBytes: number;
  readonly isClosed: boolean;
  deliver(message: Uint8Array): void;
  close(reason: string): void;
  setOnMessage(handler: (message: Uint8Array) => void): void;
  setOnClose(handler: (reason: string) => void): void;
}

export function createInbox(): Inbox {
  let onMessage: ((message: Uint8Array) => void) | null = null;
  let onClose: ((reason: string) => void) | null = null;
  let held: Uint8Array[] = [];
  let closedBecause: string | null = null;
  let receivedBytes = 0;

  const announceClose = (): void => {
    if (closedBecause === null || onMessage === null || onClose === null) return;
    const announce = onClose;
    onClose = null;
    announce(closedBecause);
  };
  return {
    get receivedBytes() {
      return receivedBytes;
    },
    get isClosed() {
      return closedBecause !== null;
    },
    deliver: (message) => {
      if (closedBecause !== null) return;
      receivedBytes += message.length;
      if (onMessage === null) held.push(message);
      else onMessage(message);
    },
    close: (reason) => {
      closedBecause ??= reason;
      announceClose();
    },
    setOnMessage: (handler) => {
      onMessage = handler;
      const waiting = held;
      held = [];
      for (const message of waiting) handler(message);
      announceClose();
    },
    setOnClose: (handler) => {
      onClose = handler;
      announceClose();
    },
  };
}
