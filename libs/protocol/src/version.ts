import type { OperatingError } from '@ultramem/invariant';
import { codedError } from './coded-error.ts';

/** The versions of the protocol that this program speaks, oldest and newest. */
export const PROTOCOL_MIN = 1;
export const PROTOCOL_MAX = 1;
/** Names the byte format in the WebSocket handshake; it changes only when the frames themselves do. */
export const SUBPROTOCOL = 'ultramem.v1';

/**
 * The newest version that both sides speak.
 *
 * @throws OperatingError PROTOCOL_VERSION when there is none.
 */
export function negotiate(peerMin: number, peerMax: number): number {
  const version = Math.min(peerMax, PROTOCOL_MAX);
  if (version < peerMin || version < PROTOCOL_MIN)
    throw codedError(
      'PROTOCOL_VERSION',
      `the peer speaks protocol ${peerMin} to ${peerMax}; expected a version of ${PROTOCOL_MIN} to ${PROTOCOL_MAX}; run the same release on both sides`,
    );
  return version;
}

/** Why the version that a welcome names cannot be spoken, or null. */
export function unknownVersion(protocol: number): OperatingError | null {
  if (protocol >= PROTOCOL_MIN && protocol <= PROTOCOL_MAX) return null;
  return codedError(
    'PROTOCOL_VERSION',
    `the coordinator speaks protocol ${protocol}; expected a version of ${PROTOCOL_MIN} to ${PROTOCOL_MAX}; run the same release on both sides`,
  );
}
