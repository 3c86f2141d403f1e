import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomHex } from '@ultramem/environment-system';

/** How processes are told the token: a file that exists only while they start. */
export interface TokenFile {
  /** Null without a token. */
  readonly path: string | null;
  during<T>(start: () => Promise<T>): Promise<T>;
}

export function createTokenFile(token: string | null): TokenFile {
  if (token === null) return { path: null, during: (start) => start() };
  const path = join(tmpdir(), `ultramem-token-${randomHex(8)}`);
  let users = 0;
  return {
    path,
    async during(start) {
      users++;
      await writeFile(path, `${token}\n`, { mode: 0o600 });
      try {
        return await start();
      } finally {
        users--;
        if (users === 0) await rm(path, { force: true });
      }
    },
  };
}
