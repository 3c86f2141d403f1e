import type { Message, MessageOfKind } from '@ultramem/protocol';

/** A well-formed request that makes no sense, or hardly any, and what answers it: a kind, or the code of a failure. */
export interface OddRequest {
  name: string;
  request: Message;
  answer: string;
}

const ID = { id: 7, deadlineMs: 10_000 };
const U32_MAX = 2 ** 32 - 1;

function generation(fields: Partial<MessageOfKind<'generate'>>): MessageOfKind<'generate'> {
  return {
    kind: 'generate',
    ...ID,
    prompts: [{ text: 'A', ids: null }],
    maxTokens: 1,
    temperature: 0,
    topK: 0,
    topP: 1,
    seed: 0,
    stopAtEos: false,
    ...fields,
  };
}

function evaluation(contextLength: number, tokenIds: readonly number[]): Message {
  return { kind: 'evaluate', ...ID, contextLength, withMemory: true, tokenIds: Uint32Array.from(tokenIds) };
}

function explanation(text: string, position: number | null, layer: number | null): Message {
  return { kind: 'explain', ...ID, text, position, layer };
}

const ids = (...tokenIds: number[]) => generation({ prompts: [{ text: null, ids: tokenIds }] });

/** For a client of the demo model: 256 tokens of vocabulary and of context, two memory layers. */
export const ODD_REQUESTS: readonly OddRequest[] = [
  { name: 'a prompt without tokens', request: ids(), answer: 'PROMPT_EMPTY' },
  {
    name: 'an empty text',
    request: generation({ prompts: [{ text: '', ids: null }] }),
    answer: 'PROMPT_EMPTY',
  },
  { name: 'a token outside the vocabulary', request: ids(256), answer: 'TOKEN_OUT_OF_RANGE' },
  { name: 'the largest token', request: ids(U32_MAX), answer: 'TOKEN_OUT_OF_RANGE' },
  {
    name: 'a prompt that is too long',
    request: ids(...new Array<number>(257).fill(1)),
    answer: 'CONTEXT_TOO_LONG',
  },
  {
    name: 'a text that is too long',
    request: generation({ prompts: [{ text: 'x'.repeat(2 ** 20), ids: null }] }),
    answer: 'CONTEXT_TOO_LONG',
  },
  { name: 'no tokens wanted', request: generation({ maxTokens: 0 }), answer: 'USAGE' },
  { name: 'an absurd temperature', request: generation({ temperature: 1e308 }), answer: 'USAGE' },
  { name: 'a tiny temperature', request: generation({ temperature: 5e-324 }), answer: 'generated' },
  { name: 'a tiny share', request: generation({ temperature: 1, topP: 5e-324 }), answer: 'generated' },
  {
    name: 'the largest numbers',
    request: generation({ temperature: 100, topK: U32_MAX, seed: 2 ** 53 - 1 }),
    answer: 'generated',
  },
  { name: 'no text to evaluate', request: evaluation(8, []), answer: 'TEXT_TOO_SHORT' },
  { name: 'a single token to evaluate', request: evaluation(8, [1]), answer: 'TEXT_TOO_SHORT' },
  {
    name: 'an evaluation with a wrong token',
    request: evaluation(8, [1, 999, 3]),
    answer: 'TOKEN_OUT_OF_RANGE',
  },
  {
    name: 'an evaluation with a wrong last token',
    request: evaluation(8, [1, 2, 999]),
    answer: 'TOKEN_OUT_OF_RANGE',
  },
  { name: 'an endless context', request: evaluation(U32_MAX, [1, 2, 3]), answer: 'evaluation' },
  {
    name: 'a context that is too long',
    request: evaluation(U32_MAX, new Array<number>(300).fill(1)),
    answer: 'CONTEXT_TOO_LONG',
  },
  { name: 'an explanation of nothing', request: explanation('', null, null), answer: 'PROMPT_EMPTY' },
  { name: 'a position that is not there', request: explanation('abc', 3, 0), answer: 'TOKEN_OUT_OF_RANGE' },
  { name: 'a layer that is not there', request: explanation('abc', 0, 2), answer: 'TOKEN_OUT_OF_RANGE' },
  { name: 'half a character', request: explanation('\ud800', 0, 1), answer: 'explanation' },
  { name: 'a text of nothing', request: { kind: 'tokenize', ...ID, text: '' }, answer: 'tokens' },
];
