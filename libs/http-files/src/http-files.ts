import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { originOf, refusalOf } from './admission.ts';
import { answer, refusal, refuse } from './answer.ts';
import { modelFiles } from './model-files.ts';
import { type PageFile, pageFiles } from './page-files.ts';
import { sendFile } from './send-file.ts';

export interface HttpFilesOptions {
  model: {
    directory: string;
    /** Of the files in it that are served, and no others. */
    names: Iterable<string>;
    /** Equal for equal models; becomes the ETag of each file. */
    fingerprint: string;
  };
  /** Of the page's files; served to anyone, for there is no secret in them. */
  pageDirectory: string;
  /** What readers of the model must know; null lets in everyone who asks for a loopback name. */
  token: string | null;
  /** Origins of pages elsewhere that may read the model. */
  allowedOrigins: readonly string[];
  /** Files on their way at once; more are told to come back. */
  streamsMax?: number;
}

/** Answers a request, or gives false: then it is not its business, and somebody else has to. */
export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => boolean;

const MODEL = '/v1/model/';
const PAGE = '/worker/';
const STREAMS_MAX = 64;

/** What a page may do: run its own script, and talk to the coordinator that its reader names. */
const PAGE_HEADERS: OutgoingHttpHeaders = {
  'cache-control': 'no-cache',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src http: https: ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/**
 * `GET /v1/model/<file>` with ranges, behind the token, and a page under `/worker/`. Every name is looked up among those that
 * were there at the start.
 */
export async function createHttpFiles(options: HttpFilesOptions): Promise<HttpHandler> {
  const { model, pageDirectory, token, allowedOrigins, streamsMax = STREAMS_MAX } = options;
  const files = await modelFiles(model.directory, model.names);
  const page = await pageFiles(pageDirectory);
  const etag = `"${model.fingerprint}"`;
  let streams = 0;

  const serveModel = (name: string, request: IncomingMessage, response: ServerResponse): void => {
    const origin = originOf(request, allowedOrigins);
    const headers = corsHeaders(origin);
    if (origin === null) {
      refuse(response, refusal('UNAUTHORIZED', 403, otherOrigin(request.headers.origin)));
      return;
    }
    if (request.method === 'OPTIONS') {
      response.writeHead(204, headers).end();
      return;
    }
    if (refuseMethod(request, response, headers)) return;
    const why = refusalOf(request, token);
    if (why !== null) {
      refuse(response, why, { ...headers, ...(why.status === 401 && { 'www-authenticate': 'Bearer' }) });
      return;
    }
    const file = files.get(name);
    if (file === undefined) {
      const names = [...files.keys()].join(', ');
      refuse(
        response,
        refusal('CHECKPOINT_NOT_FOUND', 404, `no such file; expected one of ${names}`),
        headers,
      );
      return;
    }
    if (streams >= streamsMax) {
      const busy = `${streams} files are on their way; expected fewer than ${streamsMax}; try again in a moment`;
      refuse(response, refusal('OVERLOADED', 503, busy), { ...headers, 'retry-after': '1' });
      return;
    }
    streams++;
    response.once('close', () => streams--);
    void sendFile(request, response, { file, etag, headers });
  };

  return (request, response) => {
    const path = (request.url ?? '').split('?')[0];
    if (path.startsWith(MODEL)) serveModel(path.slice(MODEL.length), request, response);
    else if (path.startsWith(PAGE)) servePage(page.get(path.slice(PAGE.length)), request, response);
    else if (`${path}/` === PAGE) answer(response, 308, '', { location: PAGE });
    else return false;
    return true;
  };
}

function servePage(file: PageFile | undefined, request: IncomingMessage, response: ServerResponse): void {
  if (refuseMethod(request, response, {})) return;
  if (file === undefined) answer(response, 404, 'There is no such file.\n');
  else {
    const { bytes, contentType } = file;
    response.writeHead(200, {
      ...PAGE_HEADERS,
      'content-type': contentType,
      'content-length': bytes.length,
    });
    response.end(bytes);
  }
}

function refuseMethod(
  { method }: IncomingMessage,
  response: ServerResponse,
  headers: OutgoingHttpHeaders,
): boolean {
  if (method === 'GET' || method === 'HEAD') return false;
  refuse(
    response,
    refusal('UNEXPECTED_MESSAGE', 405, `${method} has no meaning here; expected GET or HEAD`),
    {
      ...headers,
      allow: 'GET, HEAD',
    },
  );
  return true;
}

/** What lets a page of another origin ask and read (the Fetch standard's CORS protocol). */
function corsHeaders(origin: 'own' | string | null): OutgoingHttpHeaders {
  if (origin === 'own' || origin === null) return { vary: 'origin' };
  return {
    vary: 'origin',
    'access-control-allow-origin': origin,
    'access-control-allow-methods': 'GET, HEAD',
    'access-control-allow-headers': 'authorization, range, if-range',
    'access-control-expose-headers': 'accept-ranges, content-length, content-range, etag',
    'access-control-max-age': '600',
  };
}

function otherOrigin(origin: string | undefined): string {
  return `a page of ${origin} asked; expected one of this coordinator; start it with --allow-origin ${origin}`;
}
