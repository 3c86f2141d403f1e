import { defineMessage } from '../define-message.ts';
import { NAME_LENGTH_MAX, SOFTWARE_LENGTH_MAX, TOKEN_LENGTH_MAX } from '../limits.ts';
import { nullable, oneOf, record, text, u32, u64 } from '../schema.ts';

/**
 * The first message of whoever dialled. Answered by `welcome`, or by `failure` and the end of the connection.
 *
 * hello => protocolMin protocolMax software role token worker
 *   protocolMin, protocolMax => u32       oldest and newest version spoken
 *   software => text                      name and version, for logs
 *   role => 'worker' | 'client'
 *   token => text | nil                   the shared secret
 *   worker => nil | workerId instance capacityBytes backend fingerprint
 *     workerId => text                    stays the same over restarts
 *     instance => text                    new with every start
 *     capacityBytes => u64                memory for slices
 *     backend => text                     name of the kernels
 *     fingerprint => text                 of the checkpoint the worker sees
 */
export const hello = defineMessage({
  kind: 'hello',
  head: {
    protocolMin: u32,
    protocolMax: u32,
    software: text(SOFTWARE_LENGTH_MAX),
    role: oneOf('worker', 'client'),
    token: nullable(text(TOKEN_LENGTH_MAX)),
    worker: nullable(
      record({
        workerId: text(NAME_LENGTH_MAX),
        instance: text(NAME_LENGTH_MAX),
        capacityBytes: u64,
        backend: text(NAME_LENGTH_MAX),
        fingerprint: text(NAME_LENGTH_MAX),
      }),
    ),
  },
  invalid: ({ protocolMin, protocolMax, role, worker }) => {
    if (protocolMin > protocolMax)
      return `protocolMin is ${protocolMin}; expected at most protocolMax, ${protocolMax}`;
    if ((role === 'worker') !== (worker !== null))
      return `role is "${role}" ${worker === null ? 'without' : 'with'} a worker; expected a worker for the role "worker" only`;
    return null;
  },
});
