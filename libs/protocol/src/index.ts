export { decode, encode } from './codec.ts';
export { codedError } from './coded-error.ts';
export type { MessageOf } from './define-message.ts';
export { ERROR_CODES, type ErrorCode } from './error-codes.ts';
export {
  ABANDONED_IDS_MAX,
  BUFFERED_BYTES_MAX,
  CODE_LENGTH_MAX,
  ECHO_BYTES_MAX,
  FIRST_MESSAGE_BYTES_MAX,
  IN_FLIGHT_MAX,
  MESSAGE_BYTES_MAX,
  NAME_LENGTH_MAX,
  PROMPT_TOKENS_MAX,
  PROMPTS_MAX,
  REASON_LENGTH_MAX,
  TEXT_LENGTH_MAX,
  TOKEN_LENGTH_MAX,
  WORKERS_MAX,
} from './limits.ts';
export {
  type AnswerTo,
  definitionOf,
  isRequest,
  KINDS,
  type Kind,
  type Message,
  type MessageOfKind,
  type Notice,
  type NoticeKind,
  type PartOf,
  type Request,
  type RequestKind,
} from './message.ts';
export { errorOfEncoding, POOLED_ENCODINGS, type PooledEncoding } from './pooled-encoding.ts';
export { negotiate, PROTOCOL_MAX, PROTOCOL_MIN, SUBPROTOCOL, unknownVersion } from './version.ts';
