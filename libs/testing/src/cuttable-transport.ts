import { OperatingError } from '@ultramem/invariant';
import type { Connection, Transport } from '@ultramem/transport';

/** A transport whose user can be cut off for good, which is how a worker within this process dies without a goodbye. */
export interface CuttableTransport {
  readonly transport: Transport;
  cut(): void;
}

export function cuttableTransport(inner: Transport): CuttableTransport {
  const connections: Connection[] = [];
  let isCut = false;
  return {
    transport: {
      listen: inner.listen,
      async connect(url, options) {
        if (isCut)
          throw new OperatingError(
            'CONNECTION_LOST',
            'this worker was killed; expected it to stay dead; restart it',
          );
        const connection = await inner.connect(url, options);
        connections.push(connection);
        return connection;
      },
    },
    cut() {
      isCut = true;
      for (const connection of connections) connection.close('killed');
    },
  };
}
