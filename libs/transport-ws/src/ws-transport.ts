import type { Transport } from '@ultramem/transport';
import { dial } from './dial.ts';
import { type HttpOptions, listen } from './listen.ts';

/**
 * Connections over WebSocket: one message is one binary message, large ones in several fragments.
 *
 * @param http what the port of a listener does with plain HTTP, and with pages of other hosts
 */
export function createWsTransport(http: HttpOptions = {}): Transport {
  return { connect: dial, listen: (options) => listen(options, http) };
}
