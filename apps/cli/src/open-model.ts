import { openBackend } from '@ultramem/backends';
import { type Checkpoint, type CheckpointDirectory, openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { log } from '@ultramem/command-line';
import { systemClock } from '@ultramem/environment-system';
import {
  checkActivations,
  createLocalLookup,
  loadDense,
  loadMemoryLayers,
  type Model,
} from '@ultramem/inference';
import { loadTokenizer, type Tokenizer } from '@ultramem/tokenizer';
import type { Arithmetic } from './arithmetic-options.ts';

export interface OpenModel {
  checkpoint: Checkpoint;
  tokenizer: Tokenizer;
  model: Model;
}

/** The whole model in this process: the one that every cluster is held against. */
export async function openModel(
  path: string,
  arithmetic: Arithmetic = { backend: 'auto' },
  onProgress: (loaded: number, total: number) => void = () => {},
): Promise<OpenModel> {
  const kernels = await openBackend({
    ...arithmetic,
    onFallback: (fallback) => log('backend-fallback', fallback),
  });
  const directory = fileDirectory(path);
  const checkpoint = await openCheckpoint(directory, { parts: 'all' });
  checkActivations(checkpoint, arithmetic.activations ?? 'F32');
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
