import { OperatingError } from '@ultramem/invariant';
import type { Tokenizer, TokenStream } from './tokenizer.ts';
import { createUtf8Decoder, encodeUtf8 } from './utf8.ts';

/** One token per byte of UTF-8: id = byte. Ids from 256 on have no text. */
export function createByteTokenizer(vocabSize: number): Tokenizer {
  const encode = (text: string): number[] => {
    const ids = encodeUtf8(text);
    const outside = ids.find((id) => id >= vocabSize);
    if (outside !== undefined)
      throw new OperatingError(
        'TEXT_NOT_ENCODABLE',
        `the text contains the byte ${outside}; expected bytes below vocab_size ${vocabSize}; use a model with 256 byte tokens or leave the character out`,
      );
    return ids;
  };
  const decode = (ids: readonly number[]): string => {
    const stream = createStream();
    return ids.map((id) => stream.push(id)).join('') + stream.end();
  };
  return { encode, decode, createStream };
}

function createStream(): TokenStream {
  const decoder = createUtf8Decoder();
  return { push: (id) => (id < 256 ? decoder.push(id) : ''), end: decoder.end };
}
