/**
 * One ordered, reliable pipe that keeps message boundaries: a WebSocket, or two queues in memory. Bytes only; what they
 * mean is the protocol's business.
 */
export interface Connection {
  /** Sends one message, given in pieces so that large tensors need no copy. The pieces may not be changed afterwards. */
  send(pieces: readonly Uint8Array[]): void;
  /** Bytes handed to `send` that have not left this process yet. */
  readonly bufferedBytes: number;
  /** Bytes that went out and came in since the start, message framing excluded. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Ends the connection; `reason` reaches the other side where the transport can carry it. Harmless when it has ended. */
  close(reason: string): void;
  /** Who the other side is, for messages to people: an address, or a name in memory. */
  readonly peerName: string;
  /** Set once, before the first turn of the event loop after the connection was handed over; until then messages wait. */
  onMessage: (message: Uint8Array) => void;
  /** Called exactly once, also after an own `close`. */
  onClose: (reason: string) => void;
}

/** How to reach and to be reached. Two clusters in one process have two of them: nothing is global. */
export interface Transport {
  /**
   * @throws OperatingError CONNECT_FAILED (retriable) when nobody answers within `timeoutMs`, URL_INVALID for a URL this transport
   * cannot dial, NOT_A_COORDINATOR when something else answers.
   */
  connect(url: string, options: { timeoutMs: number }): Promise<Connection>;
  /**
   * @param options.port 0 picks a free one
   * @param options.strangerBytesMax a connection that sends more before its first message is complete is cut
   * @throws OperatingError PORT_IN_USE, LISTEN_FAILED
   */
  listen(options: {
    host: string;
    port: number;
    onConnection: (connection: Connection) => void;
    strangerBytesMax?: number;
  }): Promise<Listener>;
}

export interface Listener {
  /** What `connect` takes. */
  readonly url: string;
  /** Stops accepting and ends every connection. */
  close(): Promise<void>;
}
