import { OperatingError } from '@ultramem/invariant';
import { createByteTokenizer } from './byte-tokenizer.ts';
import { createHuggingFaceTokenizer } from './hugging-face-tokenizer.ts';
import type { Tokenizer } from './tokenizer.ts';

/**
 * The tokenizer of a model: its `tokenizer.json` where there is one, else bytes if the vocabulary is that small.
 *
 * @param files contents of the files beside the checkpoint, null where absent
 * @throws OperatingError TOKENIZER_MISSING, TOKENIZER_INVALID
 */
export function loadTokenizer(files: {
  tokenizerJson: string | null;
  tokenizerConfigJson: string | null;
  vocabSize: number;
}): Tokenizer {
  const { tokenizerJson, tokenizerConfigJson, vocabSize } = files;
  if (tokenizerJson !== null)
    return createHuggingFaceTokenizer({ tokenizerJson, tokenizerConfigJson, vocabSize });
  if (vocabSize <= 256) return createByteTokenizer(vocabSize);
  throw new OperatingError(
    'TOKENIZER_MISSING',
    `there is no tokenizer.json and vocab_size is ${vocabSize}; expected the file, or at most 256 tokens, which are bytes; put the model's tokenizer.json beside config.json`,
  );
}
