import { codedError } from '@ultramem/protocol';

/**
 * The URL to dial: ws:// and wss:// as they are, http:// and https:// as their WebSocket forms, and `host:port` as ws://.
 *
 * @throws OperatingError URL_INVALID
 */
export function websocketUrl(url: string): string {
  const absolute = /^[a-z][a-z0-9+.-]*:\/\//i.test(url) ? url : `ws://${url}`;
  const dialled = absolute.replace(/^http(?=s?:\/\/)/i, 'ws');
  const parsed = URL.canParse(dialled) ? new URL(dialled) : null;
  if (
    parsed === null ||
    !/^wss?:$/.test(parsed.protocol) ||
    parsed.hash + parsed.username + parsed.password !== ''
  )
    throw codedError(
      'URL_INVALID',
      `${JSON.stringify(url)} cannot be dialled; expected ws://host:port, wss://host:port or host:port, without name, password or fragment; correct it`,
    );
  return dialled;
}
