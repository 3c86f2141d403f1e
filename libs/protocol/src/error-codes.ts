/** Every code that an `OperatingError` or a `failure` message may carry. `retriable`: the same call may succeed later. */
export const ERROR_CODES = [
  // connections and messages
  {
    code: 'MALFORMED_MESSAGE',
    retriable: false,
    meaning: 'Bytes arrived that are no message of this protocol.',
  },
  {
    code: 'MESSAGE_TOO_LARGE',
    retriable: false,
    meaning: 'A message exceeds the size limit of the connection.',
  },
  {
    code: 'PROTOCOL_VERSION',
    retriable: false,
    meaning: 'The two sides have no protocol version in common.',
  },
  { code: 'UNAUTHORIZED', retriable: false, meaning: 'The token is missing or wrong.' },
  {
    code: 'DEADLINE_EXCEEDED',
    retriable: false,
    meaning: 'No answer came before the deadline of the request.',
  },
  { code: 'CONNECTION_LOST', retriable: true, meaning: 'The connection ended before the answer came.' },
  { code: 'OVERLOADED', retriable: true, meaning: 'Too many requests or bytes are waiting already.' },
  { code: 'CANCELLED', retriable: false, meaning: 'The caller gave the request up.' },
  { code: 'UNEXPECTED_MESSAGE', retriable: false, meaning: 'A message of a kind that has no place here.' },
  { code: 'CONNECT_FAILED', retriable: true, meaning: 'Nobody answered at the address.' },
  { code: 'PORT_IN_USE', retriable: false, meaning: 'Another program listens on the port.' },
  { code: 'LISTEN_FAILED', retriable: false, meaning: 'The address cannot be listened on.' },
  { code: 'URL_INVALID', retriable: false, meaning: 'The URL cannot be dialled.' },
  { code: 'NOT_A_COORDINATOR', retriable: false, meaning: 'Something else answers at the address.' },
  { code: 'INTERNAL', retriable: false, meaning: 'A defect of the peer; its log says more.' },
  // configuration and checkpoints
  {
    code: 'CONFIG_INVALID',
    retriable: false,
    meaning: 'A setting is missing, unknown or contradicts another.',
  },
  { code: 'USAGE', retriable: false, meaning: 'The command line is wrong.' },
  { code: 'CHECKPOINT_NOT_FOUND', retriable: false, meaning: 'There is no checkpoint at the path.' },
  {
    code: 'CHECKPOINT_INVALID',
    retriable: false,
    meaning: 'A checkpoint file contradicts itself or its configuration.',
  },
  { code: 'CHECKPOINT_READ_FAILED', retriable: false, meaning: 'A checkpoint file could not be read.' },
  { code: 'CHECKPOINT_MISMATCH', retriable: false, meaning: 'Two processes hold different checkpoints.' },
  {
    code: 'TOKENIZER_INVALID',
    retriable: false,
    meaning: 'The tokenizer file contradicts itself or the model.',
  },
  { code: 'TOKENIZER_MISSING', retriable: false, meaning: 'Text was given, but the model has no tokenizer.' },
  { code: 'DISK_FULL', retriable: false, meaning: 'No space is left where a file is written.' },
  { code: 'TARGET_EXISTS', retriable: false, meaning: 'The file to be written exists already.' },
  { code: 'CHECKPOINT_WRITE_FAILED', retriable: false, meaning: 'A checkpoint file could not be written.' },
  {
    code: 'VECTORS_INVALID',
    retriable: false,
    meaning: 'A file of recorded numbers is missing or no such file.',
  },
  // the cluster
  { code: 'DUPLICATE_WORKER', retriable: false, meaning: 'Another worker with the same id is connected.' },
  {
    code: 'STALE_EPOCH',
    retriable: true,
    meaning: 'The request was routed by a plan that has been replaced.',
  },
  {
    code: 'SHARD_UNAVAILABLE',
    retriable: true,
    meaning: 'No living worker holds the slots that are needed.',
  },
  { code: 'NOT_READY', retriable: true, meaning: 'The cluster does not serve yet.' },
  { code: 'PLAN_IMPOSSIBLE', retriable: false, meaning: 'The table does not fit the workers.' },
  // the model
  { code: 'NON_FINITE_SCORE', retriable: false, meaning: 'A score is not a finite number.' },
  {
    code: 'SLOT_OUT_OF_RANGE',
    retriable: false,
    meaning: 'A slot number lies outside the table or the slice.',
  },
  { code: 'TOKEN_OUT_OF_RANGE', retriable: false, meaning: 'A token id lies outside the vocabulary.' },
  { code: 'CONTEXT_TOO_LONG', retriable: false, meaning: 'More tokens than the model has positions.' },
  { code: 'BLOCK_OUT_OF_RANGE', retriable: false, meaning: 'A virtual block number lies outside the layer.' },
  { code: 'PROMPT_EMPTY', retriable: false, meaning: 'A prompt has no tokens.' },
  { code: 'TEXT_TOO_SHORT', retriable: false, meaning: 'A text has no token to predict.' },
  { code: 'TEXT_NOT_ENCODABLE', retriable: false, meaning: 'The vocabulary lacks a part of the text.' },
  // programs
  {
    code: 'BACKEND_UNAVAILABLE',
    retriable: false,
    meaning: 'Kernels were asked for by a name that this machine cannot run.',
  },
  {
    code: 'DEVICE_LOST',
    retriable: true,
    meaning: 'A GPU went away; coordinator and workers open another.',
  },
  { code: 'DEVICE_MEMORY_EXHAUSTED', retriable: false, meaning: 'A GPU has no room for the weights.' },
  { code: 'SPAWN_FAILED', retriable: false, meaning: 'A program of this project could not be started.' },
  { code: 'PROCESS_ENDED', retriable: false, meaning: 'A program of this project ended before it should.' },
  { code: 'VERIFY_FAILED', retriable: false, meaning: 'Results differ from recorded numbers.' },
  { code: 'DEMONSTRATION_FAILED', retriable: false, meaning: 'A sharded run differs from one process.' },
] as const satisfies readonly ErrorCodeEntry[];

export type ErrorCode = (typeof ERROR_CODES)[number]['code'];

export interface ErrorCodeEntry {
  code: string;
  retriable: boolean;
  meaning: string;
}
