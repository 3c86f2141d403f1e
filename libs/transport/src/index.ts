export { type BackoffOptions, backoffMs } from './backoff.ts';
export {
  type AnswerBody,
  type CancelSignal,
  type Channel,
  type ChannelOptions,
  openChannel,
  type RequestBody,
  type RequestContext,
  type RequestOptions,
} from './channel.ts';
export type { Connection, Listener, Transport } from './connection.ts';
export { connectionOver } from './connection-over.ts';
export { failureMessage } from './failure-message.ts';
export { createInbox, type Inbox } from './inbox.ts';
export { createMemoryTransport } from './memory-transport.ts';
