import { readFile } from 'node:fs/promises';
import { OperatingError } from '@ultramem/invariant';

/** Parser of a flag that takes a whole number; names the flag in its error. */
export function wholeNumber(
  flag: string,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max))
      throw usage(`${flag} is ${JSON.stringify(text)}`, `a whole number of ${min} to ${max}`);
    return value;
  };
}

/** Parser of a flag that takes a number, fractions allowed. */
export function number(flag: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (!(value >= min && value <= max))
      throw usage(`${flag} is ${JSON.stringify(text)}`, `a number of ${min} to ${max}`);
    return value;
  };
}

/** What a hello has room for (TOKEN_LENGTH_MAX of @ultramem/protocol). */
const TOKEN_LENGTH_MAX = 2048;

/**
 * The shared secret of a cluster: the first line of a file, so that it is on no command line and in no environment listing.
 *
 * @throws OperatingError USAGE when the file is missing, or its first line is empty or longer than the protocol carries
 */
export async function readToken(tokenFile: string | undefined): Promise<string | null> {
  if (tokenFile === undefined) return null;
  const text = await readFile(tokenFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw usage(
      `--token-file ${tokenFile} cannot be read (${error.code})`,
      'a file with the token in its first line',
    );
  });
  const token = text.split('\n')[0].trim();
  if (token === '') throw usage(`--token-file ${tokenFile} has an empty first line`, 'the token there');
  if (token.length > TOKEN_LENGTH_MAX)
    throw usage(
      `the token in --token-file ${tokenFile} has ${token.length} characters`,
      `at most ${TOKEN_LENGTH_MAX}`,
      'choose a shorter one',
    );
  return token;
}

const LOOPBACK = /^(localhost|127(\.\d+){3}|::1|\[::1\])$/;

/** Refuses to listen beyond this machine without a token. */
export function checkExposure(host: string, token: string | null): void {
  if (token === null && !LOOPBACK.test(host))
    throw usage(
      `--host ${host} is reachable from other machines and there is no token`,
      'a token beyond loopback',
      'pass --token-file, or leave --host out',
    );
}

function usage(wrong: string, expected: string, remedy = 'correct it'): OperatingError {
  return new OperatingError('USAGE', `${wrong}; expected ${expected}; ${remedy}`);
}
