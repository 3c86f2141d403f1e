/** Time as an argument: the real one in production, a manual one in tests and in the simulator. */
export interface Clock {
  /** Milliseconds since an arbitrary start, never going back; fractions are kept. */
  nowMs(): number;
  /** Calls `action` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, action: () => void): () => void;
  /** Resolves in a later turn of the event loop, so that sockets are served in the middle of long computations. */
  breathe(): Promise<void>;
}
