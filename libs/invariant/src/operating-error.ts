/**
 * An expected failure: bad input, a lost peer, a full disk. It carries a stable `code` in capitals, says whether the
 * same call may succeed later (`retriable`), and its message has three parts:
 * what was wrong; what was expected; what to do.
 */
export class OperatingError extends Error {
  override readonly name = 'OperatingError';
  readonly code: string;
  readonly retriable: boolean;

  constructor(code: string, message: string, options: { retriable?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retriable = options.retriable ?? false;
  }
}
