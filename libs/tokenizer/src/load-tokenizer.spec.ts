import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from './load-tokenizer.ts';
import type { Tokenizer } from './tokenizer.ts';

const bytes = loadTokenizer({ tokenizerJson: null, tokenizerConfigJson: null, vocabSize: 256 });

/** GPT-2's table from bytes to printable characters. */
function byteCharacters(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCharCode(printable ? byte : next++);
  });
}

/** A byte-level BPE with a few merges, one special token and an id gap (padding) at the end. */
function bpe() {
  const merges = [
    ['h', 'e'],
    ['l', 'l'],
    ['he', 'll'],
    ['hell', 'o'],
    ['Ġ', 'w'],
    ['Ã', '©'],
  ];
  const vocab: Record<string, number> = {};
  for (const character of byteCharacters()) vocab[character] = Object.keys(vocab).length;
  for (const [a, b] of merges) vocab[`${a}${b}`] = Object.keys(vocab).length;
  const end = {
    id: 262,
    content: '<|end|>',
    special: true,
    normalized: false,
    single_word: false,
    lstrip: false,
    rstrip: false,
  };
  return {
    version: '1.0',
    added_tokens: [end],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', dropout: null, unk_token: null, vocab, merges },
  };
}

const load = (description: unknown, vocabSize = 300): Tokenizer =>
  loadTokenizer({ tokenizerJson: JSON.stringify(description), tokenizerConfigJson: null, vocabSize });

function streamed(tokenizer: Tokenizer, ids: readonly number[]): { pieces: string[]; text: string } {
  const stream = tokenizer.createStream();
  const pieces = ids.map((id) => stream.push(id));
  pieces.push(stream.end());
  return { pieces, text: pieces.join('') };
}

describe.each([
  ['bytes', bytes],
  ['byte-level BPE', load(bpe())],
])('%s', (_, tokenizer) => {
  it('decodes what it encoded', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
    );
  });

  it('streams any ids to the text that decode gives', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 270 }), { maxLength: 20 }), (ids) => {
        expect(streamed(tokenizer, ids).text).toBe(tokenizer.decode(ids));
      }),
    );
  });

  it('never splits a character between pieces', () => {
    fc.assert(
      // A text may hold U+FFFD itself, which is what half a character would look like.
      fc.property(
        fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\uFFFD')),
        (text) => {
          const { pieces } = streamed(tokenizer, tokenizer.encode(text));
          expect(pieces.join('')).toBe(text);
          for (const piece of pieces) expect(piece).not.toMatch(/\uFFFD|[\uD800-\uDBFF]$/);
        },
      ),
    );
  });
});

describe('loadTokenizer', () => {
  it('uses merges, and neither special tokens nor padding have text', () => {
    const tokenizer = load(bpe());
    expect(tokenizer.encode('hello world<|end|>')).toEqual([259, 260, 111, 114, 108, 100, 262]);
    expect(tokenizer.decode([259, 262, 290])).toBe('hello');
    expect(tokenizer.decode([])).toBe('');
  });

  it('encodes bytes as ids and refuses bytes beyond the vocabulary', () => {
    expect(bytes.encode('é')).toEqual([0xc3, 0xa9]);
    const ascii = loadTokenizer({ tokenizerJson: null, tokenizerConfigJson: null, vocabSize: 128 });
    expect(() => ascii.encode('é')).toThrow(/byte 195; expected bytes below vocab_size 128; use a model/);
  });

  it('refuses a large vocabulary without its file', () => {
    expect(() => loadTokenizer({ tokenizerJson: null, tokenizerConfigJson: null, vocabSize: 50280 })).toThrow(
      expect.objectContaining({ code: 'TOKENIZER_MISSING' }),
    );
  });

  it('refuses files it cannot use, naming the reason', () => {
    const invalid = (message: RegExp) =>
      expect.objectContaining({ code: 'TOKENIZER_INVALID', message: expect.stringMatching(message) });
    const text =
      (tokenizerJson: string, tokenizerConfigJson: string | null = null) =>
      () =>
        loadTokenizer({ tokenizerJson, tokenizerConfigJson, vocabSize: 300 });
    expect(text('{')).toThrow(invalid(/^tokenizer.json is no JSON;/));
    expect(text('[]')).toThrow(invalid(/^tokenizer.json is no JSON object;/));
    expect(text(JSON.stringify(bpe()), '{')).toThrow(invalid(/^tokenizer_config.json is no JSON;/));
    expect(text('{"model":{"type":"Rumour"}}')).toThrow(invalid(/cannot be used/));
    expect(text(JSON.stringify({ ...bpe(), decoder: { type: 'Rumour' } }))).toThrow(
      invalid(/Unknown Decoder type: Rumour/),
    );
    expect(() => load(bpe(), 200)).toThrow(invalid(/token id 262; expected ids below vocab_size 200/));
  });

  it('refuses text that the vocabulary does not cover', () => {
    const tokenizer = load({ ...bpe(), added_tokens: [], model: { type: 'WordPiece', vocab: { a: 0 } } });
    expect(() => tokenizer.encode('a b')).toThrow(expect.objectContaining({ code: 'TEXT_NOT_ENCODABLE' }));
  });
});
