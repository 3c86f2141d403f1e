/** Text to token ids and back. */
export interface Tokenizer {
  /** @throws OperatingError TEXT_NOT_ENCODABLE when the vocabulary lacks a part of the text. */
  encode(text: string): number[];
  /** Bytes that are not UTF-8 become U+FFFD; ids without a token (padding rows of the embedding) become nothing. */
  decode(ids: readonly number[]): string;
  /** Text of one growing sequence; the pieces joined equal `decode` of all its ids. */
  createStream(): TokenStream;
}

/** Gives out text as soon as it is certain: never a part of a multi-byte character. */
export interface TokenStream {
  /** The text that `id` completes, often empty in the middle of a character. */
  push(id: number): string;
  /** What is still held back; incomplete characters become U+FFFD. */
  end(): string;
}
