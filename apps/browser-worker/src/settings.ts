import { OperatingError } from '@ultramem/invariant';

/** What a person decides before this page joins. */
export interface Settings {
  /** Of the coordinator, as it would stand in the address bar. */
  coordinatorUrl: string;
  token: string | null;
  capacityBytes: number;
}

/** As the fields of the form hold it. */
export interface Fields {
  coordinator: string;
  token: string;
  memory: string;
}

/**
 * What the fragment of the page's address fills in: `#coordinator=…&token=…&memory=…`. A fragment stays in the browser; it reaches no
 * server and no log. Without a coordinator it is the one that served this page, `..` from /worker/.
 */
export function fieldsOf(pageUrl: string): Partial<Fields> & { coordinator: string } {
  const page = new URL(pageUrl);
  const given = new URLSearchParams(page.hash.slice(1));
  const fields: Partial<Fields> = {};
  for (const name of ['token', 'memory'] as const) {
    const value = given.get(name);
    if (value !== null) fields[name] = value;
  }
  page.hash = '';
  page.search = '';
  return { ...fields, coordinator: given.get('coordinator') ?? new URL('..', page).href };
}

/** @throws OperatingError USAGE, URL_INVALID */
export function settingsOf({ coordinator, token, memory }: Fields): Settings {
  const mebibytes = Number(memory);
  if (!Number.isInteger(mebibytes) || mebibytes < 1 || mebibytes > 2 ** 20)
    throw new OperatingError(
      'USAGE',
      `the memory to lend is ${JSON.stringify(memory)}; expected whole MiB of 1 to ${2 ** 20}; correct it`,
    );
  return {
    coordinatorUrl: httpUrl(coordinator.trim()),
    token: token.trim() === '' ? null : token.trim(),
    capacityBytes: mebibytes * 2 ** 20,
  };
}

/** One form for all that workers may dial: ws:// and wss:// are the same place as http:// and https://. Ends with a slash. */
function httpUrl(text: string): string {
  const absolute = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  const url = absolute.replace(/^ws(?=s?:\/\/)/i, 'http');
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (
    parsed === null ||
    !/^https?:$/.test(parsed.protocol) ||
    parsed.username + parsed.password + parsed.search + parsed.hash !== ''
  )
    throw new OperatingError(
      'URL_INVALID',
      `${JSON.stringify(text)} is no coordinator's address; expected http://host:port, https://host:port or host:port; correct it`,
    );
  return parsed.href.endsWith('/') ? parsed.href : `${parsed.href}/`;
}
