import { OperatingError } from '@ultramem/invariant';
import { CODE_LENGTH_MAX, codedError, type MessageOfKind, REASON_LENGTH_MAX } from '@ultramem/protocol';

/** What the peer hears of an error: expected ones with code and text, a defect only as INTERNAL. */
export function failureMessage(id: number | null, error: unknown): MessageOfKind<'failure'> {
  const { code, message, retriable } =
    error instanceof OperatingError
      ? error
      : codedError(
          'INTERNAL',
          'a defect stopped the request; expected an answer; read the log of the other side',
        );
  return {
    kind: 'failure',
    id,
    code: code.slice(0, CODE_LENGTH_MAX),
    message: message.slice(0, REASON_LENGTH_MAX),
    retriable,
  };
}
