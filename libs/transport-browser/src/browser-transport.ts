import { codedError } from '@ultramem/protocol';
import type { Transport } from '@ultramem/transport';
import { dial } from './dial.ts';

/** Connections over the WebSocket of the page. It dials only: `listen` rejects with LISTEN_FAILED. */
export function createBrowserTransport(): Transport {
  return {
    connect: dial,
    listen: async ({ host, port }) => {
      throw codedError(
        'LISTEN_FAILED',
        `a browser cannot listen on ${host}:${port}; expected a program that can; run the coordinator with Node`,
      );
    },
  };
}
