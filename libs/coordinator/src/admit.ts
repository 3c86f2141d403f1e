import { OperatingError } from '@ultramem/invariant';
import type { ClusterView } from '@ultramem/membership';
import { codedError, type MessageOfKind, PROTOCOL_MAX, PROTOCOL_MIN, WORKERS_MAX } from '@ultramem/protocol';

/** What a newcomer is measured against. */
export interface AdmissionRules {
  token: string | null;
  fingerprint: string;
  view: ClusterView;
}

/** Why a hello is refused, or null. A refusal is always said, never a silent close. */
export function invalidHello(hello: MessageOfKind<'hello'>, rules: AdmissionRules): OperatingError | null {
  if (hello.protocolMin > PROTOCOL_MAX || hello.protocolMax < PROTOCOL_MIN)
    return new OperatingError(
      'PROTOCOL_VERSION',
      `the ${hello.role} speaks protocol ${hello.protocolMin} to ${hello.protocolMax} (software ${hello.software}); expected a version of ${PROTOCOL_MIN} to ${PROTOCOL_MAX}; run the same release everywhere`,
    );
  if (rules.token !== null && !sameToken(hello.token ?? '', rules.token))
    return new OperatingError(
      'UNAUTHORIZED',
      `the ${hello.role} gave ${hello.token === null ? 'no token' : 'a wrong token'}; expected the coordinator's; pass the same --token-file on both sides`,
    );
  const { worker } = hello;
  if (hello.role !== 'worker') return null;
  if (worker === null)
    return new OperatingError(
      'MALFORMED_MESSAGE',
      'a worker said hello without saying what it has; expected the worker field; run the same release everywhere',
    );
  if (worker.fingerprint !== rules.fingerprint)
    return new OperatingError(
      'CHECKPOINT_MISMATCH',
      `worker ${worker.workerId} has the checkpoint ${worker.fingerprint}; expected ${rules.fingerprint}, the coordinator's; give both the same --model`,
    );
  if (worker.capacityBytes === 0)
    return new OperatingError(
      'PLAN_IMPOSSIBLE',
      `worker ${worker.workerId} has no memory for slices; expected some; raise its --memory`,
    );
  const twin = rules.view.members.find((member) => member.workerId === worker.workerId);
  if (twin !== undefined && twin.instance !== worker.instance)
    return new OperatingError(
      'DUPLICATE_WORKER',
      `a worker with the id ${worker.workerId} is connected already, from ${twin.peerName}; expected an id of its own for each worker; choose another --id, or stop the other one`,
    );
  if (twin === undefined && rules.view.members.length >= WORKERS_MAX)
    return codedError(
      'OVERLOADED',
      `${WORKERS_MAX} workers are connected already; expected at most so many; stop those on standby first`,
    );
  return null;
}

/** Takes the same time wherever the first difference is. */
function sameToken(given: string, expected: string): boolean {
  let difference = given.length ^ expected.length;
  for (let i = 0; i < expected.length; i++) difference |= (given.charCodeAt(i) || 0) ^ expected.charCodeAt(i);
  return difference === 0;
}
