/** How late the event loop was, since the start of the process: what a message may have to wait before anybody looks at it. */
export interface LoopDelay {
  readonly p99Ms: number;
  readonly maxMs: number;
}
