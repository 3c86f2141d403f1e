import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { type Checkpoint, memoryDirectory, openCheckpoint } from '@ultramem/checkpoint';
import type { Clock } from '@ultramem/environment';
import {
  createLocalLookup,
  loadDense,
  loadMemoryLayers,
  type Model,
  readVectorFile,
  type VectorFile,
} from '@ultramem/inference';
import { createReferenceKernels, type Kernels } from '@ultramem/kernels';
import { createNativeKernels, probeNative } from '@ultramem/kernels-native';

const root = new URL('../..', import.meta.url);

/** The recorded numbers of the reference; a second set of the same structure can be put in its place. */
export const vectors = process.env.ULTRAMEM_VECTORS
  ? new URL(`file://${process.env.ULTRAMEM_VECTORS}/`)
  : new URL('test/vectors/', root);
export const demoModel = new URL('apps/cli/demo-model/', root);

/** Real time, without timers: nothing in these tests waits for any. */
export const clock: Clock = {
  nowMs: () => performance.now(),
  after: () => () => {},
  breathe: () => new Promise((resolve) => setImmediate(resolve)),
};

/** Kernels of every backend that runs wherever it could be built, by name. */
export const backends: [string, () => Kernels][] = [
  ['reference', createReferenceKernels],
  ...(probeNative().available ? [['native', createNativeKernels] satisfies [string, () => Kernels]] : []),
];

/** Layer files (v1_a, ...) without those of gradients. */
export function layerFileNames(): string[] {
  return readdirSync(vectors)
    .filter((name) => name.endsWith('.safetensors') && !name.endsWith('_grads.safetensors'))
    .map((name) => name.replace('.safetensors', ''))
    .sort();
}

export function modelNames(): string[] {
  return readdirSync(vectors, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(new URL(`${entry.name}/io.safetensors`, vectors)))
    .map((entry) => entry.name)
    .sort();
}

export function openModelDirectory(directory: URL): Promise<Checkpoint> {
  const files = new Map(
    ['config.json', 'model.safetensors'].map((name) => [name, bytesOf(new URL(name, directory))]),
  );
  return openCheckpoint(memoryDirectory(directory.pathname, files), { parts: 'all' });
}

/** The model of a directory, its tables in this process. */
export async function loadModel(directory: URL, kernels = createReferenceKernels()): Promise<Model> {
  return modelOf(await openModelDirectory(directory), kernels);
}

export async function modelOf(checkpoint: Checkpoint, kernels = createReferenceKernels()): Promise<Model> {
  const memoryLayers = await loadMemoryLayers(checkpoint, kernels);
  const lookUp = await createLocalLookup({ checkpoint, kernels, memoryLayers });
  return { dense: await loadDense(checkpoint, kernels), memoryLayers, lookUp, kernels, clock };
}

export function readIo(directory: URL): VectorFile {
  const file = new URL('io.safetensors', directory);
  return readVectorFile(bytesOf(file), file.pathname);
}

export function bytesOf(file: URL): Uint8Array {
  return new Uint8Array(readFileSync(file));
}
