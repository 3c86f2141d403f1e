import { assert } from '@ultramem/invariant';

/** One message. Room for 2048 tokens' pooled vectors of every block; far below 2^31, where ws takes a limit for none. */
export const MESSAGE_BYTES_MAX = 256 * 2 ** 20;
/** Before the peer has said who it is: one `hello` with every field at its longest. */
export const FIRST_MESSAGE_BYTES_MAX = 16 * 2 ** 10;
/** Tensors below this are copied into one piece with the head: a write call costs more than the copy. */
export const JOIN_BYTES_MAX = 16 * 2 ** 10;
/** Bytes that a `pulse` may be asked to carry: enough to time a link, little enough to ask for at any time. */
export const ECHO_BYTES_MAX = 2 ** 20;
/** Nesting of a head: the deepest kind has a map in a list in a map. Keeps a stranger from filling the stack. */
export const HEAD_DEPTH_MAX = 8;
/** Bytes of a head. Lists of token ids are the largest things in heads. */
export const HEAD_BYTES_MAX = 64 * 2 ** 20;

/** Requests that wait for an answer on one connection, in each direction. More means that the peer cannot keep up. */
export const IN_FLIGHT_MAX = 1024;
/** Bytes that wait to leave on one connection before new requests are refused. */
export const BUFFERED_BYTES_MAX = 64 * 2 ** 20;
/** Ids of given-up requests that are remembered, so that a late answer is told from a wrong one. */
export const ABANDONED_IDS_MAX = 65_536;

/** Name and version of a program. */
export const SOFTWARE_LENGTH_MAX = 128;
/** Worker ids, instances, fingerprints, cluster ids, states. */
export const NAME_LENGTH_MAX = 128;
/** Bearer tokens; common JSON web tokens are below 2000. */
export const TOKEN_LENGTH_MAX = 2048;
export const CODE_LENGTH_MAX = 64;
/** Failure messages and reasons; longer ones are cut where they are sent. */
export const REASON_LENGTH_MAX = 4096;
/** A prompt or a text to tokenize: a long book. */
export const TEXT_LENGTH_MAX = 4 * 2 ** 20;
/** Text of one generated token. */
export const TOKEN_TEXT_LENGTH_MAX = 4096;
/** Sequences of one `generate`. */
export const PROMPTS_MAX = 1024;
/** Token ids of one prompt. */
export const PROMPT_TOKENS_MAX = 2 ** 20;

/** Path or name of a model. */
export const MODEL_NAME_LENGTH_MAX = 4096;
/** Workers of one cluster. */
export const WORKERS_MAX = 4096;
/** Heads, and winners of one head, in an explanation. */
export const WINNERS_MAX = 4096;

assert(MESSAGE_BYTES_MAX < 2 ** 31, 'ws reads its limit as a signed 32-bit number');
assert(
  FIRST_MESSAGE_BYTES_MAX > 3 * (TOKEN_LENGTH_MAX + SOFTWARE_LENGTH_MAX + 4 * NAME_LENGTH_MAX) + 1024,
  'the longest hello fits the first message, at three bytes a character',
);
assert(HEAD_BYTES_MAX < MESSAGE_BYTES_MAX, 'a head fits a message');
