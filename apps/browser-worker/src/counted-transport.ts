import type { Connection, Transport } from '@ultramem/transport';

/** One dial of a page: a browser would wait for minutes. */
const DIAL_MS_MAX = 10_000;

/** The same transport, which keeps count of the bytes of all its connections. */
export function countedTransport(transport: Transport): {
  transport: Transport;
  sentBytes(): number;
  receivedBytes(): number;
} {
  const connections: Pick<Connection, 'sentBytes' | 'receivedBytes'>[] = [];
  const sum = (count: 'sentBytes' | 'receivedBytes'): number =>
    connections.reduce((total, connection) => total + connection[count], 0);
  return {
    transport: {
      ...transport,
      connect: async (url, { timeoutMs }) => {
        const connection = await transport.connect(url, { timeoutMs: Math.min(timeoutMs, DIAL_MS_MAX) });
        // Those before have ended: their sums are all that is kept of them.
        const past = { sentBytes: sum('sentBytes'), receivedBytes: sum('receivedBytes') };
        connections.splice(0, connections.length, past, connection);
        return connection;
      },
    },
    sentBytes: () => sum('sentBytes'),
    receivedBytes: () => sum('receivedBytes'),
  };
}
