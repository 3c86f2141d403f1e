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
 * Asks, and hands the answer to `take`, which calls `allow` with the bytes of the body before it waits for them. Asks again, with
 * growing pauses, after an `Interruption`: no answer in time, an answer of 5xx or 429, a body that was cut off.
 *
 * @throws OperatingError UNAUTHORIZED, CONNECT_FAILED, or what `take` throws
 */
export type Requester = <T>(
  request: HttpRequest,
  take: (response: Response, allow: (byteCount: number) => void) => Promise<T>,
) => Promise<T>;

const TRIES = 6;
const BACKOFF = { firstMs: 200, maxMs: 5_000 };
/** A try is given up after this long, and a body after as long again and the time that it takes at this rate. */
const PATIENCE_MS = 20_000;
const BYTES_PER_MS_MIN = 32;
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
  take: (response: Response, allow: (byteCount: number) => void) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const watch = (patienceMs: number): (() => void) =>
    clock.after(patienceMs, () => controller.abort(new Error(`no answer in ${patienceMs / 1000} s`)));
  let stopWatching = watch(PATIENCE_MS);
  const allow = (byteCount: number): void => {
    stopWatching();
    stopWatching = watch(PATIENCE_MS + Math.ceil(byteCount / BYTES_PER_MS_MIN));
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
    if (response.status === 401 || response.status === 403) throw unauthorized(url, response.status);
    if (response.status >= 500 || response.status === TOO_MANY_REQUESTS)
      throw new Interruption(`HTTP ${response.status}`);
    return await take(response, allow);
  } catch (error) {
    controller.abort(); // what has not been read shall not come
    throw error;
  } finally {
    stopWatching();
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
    `${url} was asked for ${TRIES} times in vain (${message}); expected a coordinator there that lets this page in; start it, correct the address, or start it with --allow-origin`,
  );
}
