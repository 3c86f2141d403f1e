/** Takes a file's bytes in order. The array may be used again once the promise has resolved. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}
