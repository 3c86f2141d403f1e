import { OperatingError } from '@ultramem/invariant';
import { ERROR_CODES, type ErrorCode } from './error-codes.ts';

const retriableByCode = new Map<string, boolean>(ERROR_CODES.map((entry) => [entry.code, entry.retriable]));

/** An `OperatingError` with a code of the table, retriable as the table says. */
export function codedError(code: ErrorCode, message: string, cause?: unknown): OperatingError {
  const retriable = retriableByCode.get(code) ?? false;
  return new OperatingError(code, message, cause === undefined ? { retriable } : { retriable, cause });
}
