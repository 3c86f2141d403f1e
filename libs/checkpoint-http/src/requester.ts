import type { Clock, Random } from '@ultramem/environment';
import { codedError } from '@ultramem/protocol';
import { backoffMs } from '@ultramem/transport';

/** One try failed in a way in which the next one may succeed. */
export class Interruption extends Error {}

export interface HttpRequest {
  method: 'GET' | 'HEAD';
  url: string;
  headers?: Readonly<Record<string, string>>;
}

/**
 * Asks, and hands the answer to `take`, which calls `onBytes` whenever a part of the body has come. Asks again, with growing
 * pauses, after an `Interruption`: no answer, silence, an answer of 5xx or 429, a body that was cut off.
 *
 * @throws OperatingError UNAUTHORIZED, CONNECT_FAILED, or what `take` throws
 */
export type Requester = <T>(
  request: HttpRequest,
  take: (response: Response, onBytes: () => void) => Promise<T>,
) => Promise<T>;

const TRIES = 6;
const BACKOFF = { firstMs: 200, maxMs: 5_000 };
/** A server that sends nothing for this long is given up. */
const SILENCE_MS = 20_000;
const TOO_MANY_REQUESTS = 429;

export function createRequester(world: {
  token: string | null;
  fetch: typeof fetch;
  clock: Clock;
  random: Random;
}): Requester {
  const { clock, random, token } = world;
  const authorization: Record<string, string> = token === null ? {} : { Authorization: `Bearer ${token}` };
  return async (request, take) => {
    const headers = { ...request.headers, ...authorization };
    for (let attempt = 0; ; attempt++) {
      try {
        return await once(world, { ...request, headers }, take);
      } catch (error) {
        if (!(error instanceof Interruption)) throw error;
        if (attempt + 1 === TRIES) throw gaveUp(request.url, error);
      }
      const pauseMs = backoffMs(attempt, BACKOFF, random);
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve));
    }
  };
}

async function once<T>(
  { fetch, clock }: { fetch: typeof globalThis.fetch; clock: Clock },
  { method, url, headers }: HttpRequest,
  take: (response: Response, onBytes: () => void) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const watch = (): (() => void) =>
    clock.after(SILENCE_MS, () => controller.abort(new Error(`silent for ${SILENCE_MS / 1000} s`)));
  let stopWatching = watch();
  const onBytes = (): void => {
    stopWatching();
    stopWatching = watch();
  };
  try {
    const response = await fetch(url, {
      method,
      headers: { ...headers },
      signal: controller.signal,
      cache: 'no-store',
      credentials: 'omit',
    }).catch((cause: unknown) => {
      throw new Interruption(cause instanceof Error ? cause.message : String(cause));
    });
    onBytes();
    if (response.status === 401 || response.status === 403) throw unauthorized(url, response.status);
    if (response.status >= 500 || response.status === TOO_MANY_REQUESTS)
      throw new Interruption(`HTTP ${response.status}`);
    return await take(response, onBytes);
  } finally {
    stopWatching();
    controller.abort(); // what has not been read shall not come
  }
}

function unauthorized(url: string, status: number): Error {
  return codedError(
    'UNAUTHORIZED',
    `${url} may not be read (HTTP ${status}): the token is missing or wrong, or pages of this origin are not allowed; expected the coordinator's token; correct it, or start the coordinator with --allow-origin`,
  );
}

function gaveUp(url: string, { message }: Interruption): Error {
  return codedError(
    'CONNECT_FAILED',
    `${url} was asked for ${TRIES} times in vain (${message}); expected a coordinator there, which lets this page read its model; start it, or correct the address`,
  );
}
