import type { OperatingError } from '@ultramem/invariant';
import { codedError } from '@ultramem/protocol';

/** Something answered, but not as a server of this file should. */
export function readFailed(name: string, wrong: string, expected: string): OperatingError {
  return codedError(
    'CHECKPOINT_READ_FAILED',
    `${name} cannot be read: ${wrong}; expected ${expected}; check the address, and run the same release on both sides`,
  );
}

export function unexpectedAnswer(name: string, response: Response): OperatingError {
  return readFailed(name, `the answer is HTTP ${response.status}`, 'the file');
}
