import { codedError } from '@ultramem/protocol';

/**
 * The URL to dial: ws:// and wss:// as they are, http:// and https:// as their WebSocket forms, and `host:port` as ws://.
 *
 * @throws OperatingError URL_INVALID
 */
export function websocketUrl(url: string): string {
  const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(url) ? url : `ws://${url}`;
  const dialled = withScheme.replace(/^http(?=s?:\/\/)/i, 'ws');
  if (!/^wss?:\/\//i.test(dialled) || !URL.canParse(dialled)) throw invalid(url);
  const { hash, username, password } = new URL(dialled);
  if (hash !== '' || username !== '' || password !== '') throw invalid(url);
  return dialled;
}

function invalid(url: string): Error {
  return codedError(
    'URL_INVALID',
    `${JSON.stringify(url)} cannot be dialled; expected ws://host:port, wss://host:port or host:port, without name, password or fragment; correct it`,
  );
}
