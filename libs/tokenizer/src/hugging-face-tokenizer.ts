import { Tokenizer as Library } from '@huggingface/tokenizers';
import { OperatingError } from '@ultramem/invariant';
import type { Tokenizer, TokenStream } from './tokenizer.ts';

/**
 * A Hugging Face `tokenizer.json`, with the special tokens that its post-processor adds. Decoding leaves special
 * tokens out and never cleans up spaces, so that a stream and a whole text read alike.
 *
 * @throws OperatingError TOKENIZER_INVALID when a file is no JSON, describes something unknown, or has ids that the model lacks.
 */
export function createHuggingFaceTokenizer(files: {
  tokenizerJson: string;
  tokenizerConfigJson: string | null;
  vocabSize: number;
}): Tokenizer {
  const description = parse('tokenizer.json', files.tokenizerJson);
  const config = parse('tokenizer_config.json', files.tokenizerConfigJson ?? '{}');
  const library = build(description, config);
  let largestId = -1;
  for (const id of library.get_vocab().values()) largestId = Math.max(largestId, id);
  if (largestId >= files.vocabSize)
    throw invalid(
      `tokenizer.json has the token id ${largestId}; expected ids below vocab_size ${files.vocabSize}; take the tokenizer that the model was trained with`,
    );

  const encode = (text: string): number[] => {
    const { ids } = library.encode(text);
    if (ids.some((id: number | undefined) => id === undefined))
      throw new OperatingError(
        'TEXT_NOT_ENCODABLE',
        'the vocabulary lacks a part of the text and has no unknown token; expected text that the tokenizer covers; leave unusual characters out',
      );
    return ids;
  };
  const decode = (ids: readonly number[]): string => {
    const known = ids.filter((id) => library.id_to_token(id) !== undefined);
    return known.length === 0
      ? ''
      : library.decode(known, { skip_special_tokens: true, clean_up_tokenization_spaces: false });
  };
  return { encode, decode, createStream: () => createStream(decode) };
}

function parse(fileName: string, text: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid(`${fileName} is no JSON; expected a Hugging Face tokenizer file; copy it again`, cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(`${fileName} is no JSON object; expected a Hugging Face tokenizer file; copy it again`);
  return value;
}

function build(description: object, config: object): Library {
  try {
    // The library reads these without asking whether they are there.
    const complete = {
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      added_tokens: [],
    };
    return new Library({ ...complete, ...description }, config);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw invalid(
      `tokenizer.json cannot be used (${reason}); expected the components that the tokenizers library knows; export it again with a fast tokenizer`,
      cause,
    );
  }
}

// An unfinished UTF-8 character has at most three bytes, each of which decodes to one U+FFFD at the end of the text.
const UNFINISHED = /\uFFFD{1,3}$/;

/**
 * Decodes a short window of the last ids again at each step, because decoders treat the start of a text specially: the window
 * begins with ids whose text was given out already, and only what follows that text is new.
 */
function createStream(decode: (ids: readonly number[]) => string): TokenStream {
  let window: number[] = [];
  let settledIds = 0; // ids of the window whose text was given out completely
  let givenLength = 0; // characters of the window's text that were given out
  const push = (id: number): string => {
    window.push(id);
    const text = decode(window);
    const unfinished = UNFINISHED.exec(text);
    const certain = unfinished ? unfinished.index : text.length;
    const piece = text.slice(givenLength, certain);
    givenLength = Math.max(givenLength, certain);
    if (!unfinished && piece !== '') {
      window = window.slice(settledIds);
      settledIds = window.length;
      givenLength = decode(window).length;
    }
    return piece;
  };
  const end = (): string => decode(window).slice(givenLength);
  return { push, end };
}

function invalid(message: string, cause?: unknown): OperatingError {
  return new OperatingError('TOKENIZER_INVALID', message, cause === undefined ? {} : { cause });
}
