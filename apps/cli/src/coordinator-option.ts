import { type Client, connectClient } from '@ultramem/client';
import { readToken } from '@ultramem/command-line';
import { DEFAULT_PORT } from '@ultramem/coordinator-app';
import { systemClock } from '@ultramem/environment-system';
import { createWsTransport } from '@ultramem/transport-ws';
import { Option } from 'commander';
import { SOFTWARE } from './program.ts';

/** Where the cluster is that a verb asks; the same everywhere. */
export const DEFAULT_URL = `ws://127.0.0.1:${DEFAULT_PORT}`;

export function coordinatorOption(): Option {
  return new Option('--coordinator <url>', `a running cluster (default: ${DEFAULT_URL})`).env(
    'ULTRAMEM_COORDINATOR',
  );
}

export function tokenFileOption(): Option {
  return new Option('--token-file <file>', "file with the cluster's token in its first line").env(
    'ULTRAMEM_TOKEN_FILE',
  );
}

const CONNECT_TIMEOUT_MS = 5_000;

/** Runs `use` with a connection that is closed afterwards. */
export async function withClient<T>(
  flags: { coordinator?: string; tokenFile?: string },
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const client = await connectClient({
    transport: createWsTransport(),
    clock: systemClock,
    url: flags.coordinator ?? DEFAULT_URL,
    token: await readToken(flags.tokenFile),
    software: SOFTWARE,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  });
  try {
    return await use(client);
  } finally {
    client.close();
  }
}
