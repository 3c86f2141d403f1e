import { assert } from '@ultramem/invariant';
import { codedError, definitionOf, type Kind } from '@ultramem/protocol';

/**
 * Holds what a caller asked for against the grammar of its message, before anything is sent.
 *
 * @throws OperatingError USAGE naming the field, what it is and what it may be.
 */
export function checkMessage(message: { readonly kind: Kind }): void {
  const definition = definitionOf(message.kind);
  assert(definition !== undefined, 'a message has a kind of the table');
  const { headNames, invalidHead, invalid } = definition;
  const head = Object.fromEntries(Object.entries(message).filter(([name]) => headNames.includes(name)));
  const reason = invalidHead(head) ?? invalid(message);
  if (reason !== null) throw codedError('USAGE', `${reason}; correct the request`);
}
