import { type Backend, openBackend } from '@ultramem/backends';
import { type Checkpoint, type CheckpointDirectory, openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { systemClock } from '@ultramem/environment-system';
import { createLocalLookup, loadDense, loadMemoryLayers, type Model } from '@ultramem/inference';
import { loadTokenizer, type Tokenizer } from '@ultramem/tokenizer';

export interface OpenModel {
  checkpoint: Checkpoint;
  tokenizer: Tokenizer;
  model: Model;
}

/** The whole model in this process: the one that every cluster is held against. */
export async function openModel(
  path: string,
  backend: Backend | 'auto' = 'auto',
  onProgress: (loaded: number, total: number) => void = () => {},
): Promise<OpenModel> {
  const kernels = await openBackend({ backend });
  const directory = fileDirectory(path);
  const checkpoint = await openCheckpoint(directory, { parts: 'all' });
  const tokenizer = await openTokenizer(directory, checkpoint.config.vocabSize);
  const dense = await loadDense(checkpoint, kernels, onProgress);
  const memoryLayers = await loadMemoryLayers(checkpoint, kernels);
  const lookUp = await createLocalLookup({ checkpoint, kernels, memoryLayers });
  return { checkpoint, tokenizer, model: { dense, memoryLayers, lookUp, kernels, clock: systemClock } };
}

export async function openTokenizer(directory: CheckpointDirectory, vocabSize: number): Promise<Tokenizer> {
  return loadTokenizer({
    tokenizerJson: await directory.readText('tokenizer.json'),
    tokenizerConfigJson: await directory.readText('tokenizer_config.json'),
    vocabSize,
  });
}
