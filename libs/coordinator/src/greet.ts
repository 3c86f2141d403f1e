import type { OperatingError } from '@ultramem/invariant';
import { LEASE_TERMS } from '@ultramem/membership';
import {
  codedError,
  FIRST_MESSAGE_BYTES_MAX,
  type MessageOfKind,
  type Notice,
  type NoticeKind,
  PROTOCOL_MAX,
  type Request,
  type RequestKind,
} from '@ultramem/protocol';
import {
  type AnswerBody,
  type Channel,
  type Connection,
  failureMessage,
  openChannel,
  type RequestContext,
} from '@ultramem/transport';
import { invalidHello } from './admit.ts';
import type { Cluster } from './cluster.ts';
import type { CoordinatorOptions } from './coordinator-options.ts';

/** A stranger has this long to say hello. */
const HELLO_DEADLINE_MS = 10_000;

const WORKER_NOTICES: readonly NoticeKind[] = ['leave'];
const CLIENT_REQUESTS: readonly (RequestKind | NoticeKind)[] = [
  'generate',
  'evaluate',
  'tokenize',
  'explain',
  'status',
  'leave',
];

/** One newcomer: its first message must be a hello that passes `admit.ts`, within the deadline; then it is a worker or a client. */
export function greet(
  connection: Connection,
  cluster: Cluster,
  serveClient: ((request: Request, context: RequestContext) => Promise<AnswerBody>) | null,
  options: CoordinatorOptions,
): void {
  const { clock, token, checkpoint, clusterId, software, onDefect } = options;
  const lease = options.lease ?? LEASE_TERMS;
  const accepts = new Set<RequestKind | NoticeKind>(['hello']);
  let workerId: string | null = null;
  const admit = (hello: MessageOfKind<'hello'>): void => {
    cancelDeadline();
    accepts.delete('hello');
    const reason = invalidHello(hello, { token, fingerprint: checkpoint.fingerprint, view: cluster.view });
    if (reason !== null) {
      refuse(channel, reason, options);
      return;
    }
    channel.notify({
      kind: 'welcome',
      protocol: Math.min(hello.protocolMax, PROTOCOL_MAX),
      software,
      clusterId,
      ...lease,
    });
    for (const kind of hello.role === 'worker' ? WORKER_NOTICES : CLIENT_REQUESTS) accepts.add(kind);
    if (hello.worker === null) return;
    workerId = hello.worker.workerId;
    cluster.join(hello.worker, channel);
  };
  const onNotice = (notice: Notice): void => {
    if (notice.kind === 'hello') admit(notice);
    // Who cannot go on with us says so and hangs up; a stranger who stays is none the less one.
    if (notice.kind === 'failure') channel.close(notice.code);
    if (notice.kind !== 'leave') return;
    if (workerId !== null) cluster.lost(workerId, channel, notice.reason);
    channel.close(notice.reason);
  };
  const channel = openChannel({
    connection,
    clock,
    accepts,
    serve: (request, context) => {
      if (serveClient === null)
        throw codedError(
          'UNEXPECTED_MESSAGE',
          'this coordinator serves no model, only its memory; expected workers alone; ask another one',
        );
      return serveClient(request, context);
    },
    onNotice,
    onClose: (why) => {
      cancelDeadline();
      if (workerId !== null) cluster.lost(workerId, channel, why);
    },
    onDefect,
    firstMessageBytesMax: FIRST_MESSAGE_BYTES_MAX,
  });
  const cancelDeadline = clock.after(HELLO_DEADLINE_MS, () => refuse(channel, silence(), options));
}

/** Says why, and hangs up. */
function refuse(channel: Channel, error: OperatingError, { onEvent }: CoordinatorOptions): void {
  onEvent({ kind: 'refused', workerId: channel.peerName, code: error.code, message: error.message });
  channel.notify(failureMessage(null, error));
  channel.close(error.code);
}

function silence(): OperatingError {
  return codedError(
    'DEADLINE_EXCEEDED',
    `no hello came within ${HELLO_DEADLINE_MS} ms; expected one as the first message; say hello at once`,
  );
}
