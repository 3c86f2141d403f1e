export { loadTokenizer } from './load-tokenizer.ts';
export type { Tokenizer, TokenStream } from './tokenizer.ts';
