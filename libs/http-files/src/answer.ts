import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';

/** Answers with a body of a few words. */
export function answer(
  response: ServerResponse,
  status: number,
  body: string,
  headers: OutgoingHttpHeaders = {},
): void {
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...headers,
  });
  response.end(body);
}

/** Says why a request fails: `{"error": {"code", "message"}}`, with a code of the protocol's table. */
export function refuse(
  response: ServerResponse,
  { status, code, message }: Refusal,
  headers: OutgoingHttpHeaders = {},
): void {
  const body = `${JSON.stringify({ error: { code, message } })}\n`;
  answer(response, status, body, { 'content-type': 'application/json', ...headers });
}

export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

export function refusal(code: string, status: number, message: string): Refusal {
  return { status, code, message };
}
