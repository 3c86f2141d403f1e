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
