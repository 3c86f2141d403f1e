import type { Transport } from '@ultramem/transport';
import { dial } from './dial.ts';
import { listen } from './listen.ts';

/** Connections over WebSocket: one message is one binary message, large ones in several fragments. */
export function createWsTransport(): Transport {
  return { connect: dial, listen };
}
