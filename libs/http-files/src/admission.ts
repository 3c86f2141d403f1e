import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { type Refusal, refusal } from './answer.ts';

/** Names by which only this machine reaches itself. */
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * Null, or why a request for the model is refused. Without a token the server listens on loopback only, but a page of any
 * site may have its own name point there: then nothing but a loopback name is answered.
 */
export function refusalOf({ headers }: IncomingMessage, token: string | null): Refusal | null {
  if (token === null)
    return LOOPBACK.test(urlOfHost('http:', headers.host)?.hostname ?? '')
      ? null
      : refusal(
          'UNAUTHORIZED',
          403,
          'this coordinator has no token and was asked for by a name that is not this machine; expected localhost or 127.0.0.1; start it with --token-file',
        );
  const [, given = null] = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '') ?? [];
  if (given !== null && sameToken(given, token)) return null;
  return refusal(
    'UNAUTHORIZED',
    401,
    `the request gave ${given === null ? 'no token' : 'a wrong token'}; expected the coordinator's in the header Authorization: Bearer; pass it`,
  );
}

/**
 * How far a page may read what it asked for: `own` when no page of another origin asked, the origin when it is one of
 * `allowed`, null otherwise. A proxy may have taken the TLS off, so the scheme is the page's.
 */
export function originOf({ headers }: IncomingMessage, allowed: readonly string[]): 'own' | string | null {
  const { origin, host } = headers;
  if (origin === undefined) return 'own';
  if (allowed.includes(origin)) return origin;
  const page = URL.canParse(origin) ? new URL(origin) : null;
  return page !== null && urlOfHost(page.protocol, host)?.host === page.host ? 'own' : null;
}

/** Hashes have one length, and comparing them takes the same time wherever the first difference is. */
function sameToken(given: string, expected: string): boolean {
  const [a, b] = [given, expected].map((token) => createHash('sha256').update(token).digest()) as [
    Buffer,
    Buffer,
  ];
  return timingSafeEqual(a, b);
}

/** Whatever the stranger wrote as its Host. */
function urlOfHost(scheme: string, host: string | undefined): URL | null {
  const url = `${scheme}//${host}`;
  return host !== undefined && URL.canParse(url) ? new URL(url) : null;
}
