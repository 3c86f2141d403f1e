import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBackend } from '@ultramem/backends';
import { openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { systemClock } from '@ultramem/environment-system';
import {
  createLocalLookup,
  layerVectorCheckpoint,
  loadMemoryLayers,
  verifyLayers,
} from '@ultramem/inference';
import { OperatingError } from '@ultramem/invariant';
import { createReferenceKernels } from '@ultramem/kernels';
import { compareLookups } from './compare-lookups.ts';
import { type ClusterShape, withCluster } from './temporary-cluster.ts';
import type { VerifyCase } from './verify-case.ts';

const MANIFEST = 'layers_manifest.json';

/** The layer files of a manifest, in its order, without those of gradients. */
export async function listVectorFiles(directory: string): Promise<string[]> {
  const path = join(directory, MANIFEST);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new OperatingError(
      'VECTORS_INVALID',
      `${path} cannot be read (${error.code}); expected a directory of layer vectors with its manifest; pass it as --vectors DIR`,
    );
  });
  const entries: unknown = parseJson(path, text);
  if (!Array.isArray(entries))
    throw new OperatingError(
      'VECTORS_INVALID',
      `${path} is no list; expected one entry per file; copy the vectors again`,
    );
  const files = entries.filter((entry) => entry?.kind !== 'grads').map((entry) => entry?.file);
  if (files.length === 0 || files.some((file) => typeof file !== 'string'))
    throw new OperatingError(
      'VECTORS_INVALID',
      `${path} has ${files.length === 0 ? 'no layer files' : 'entries without a file'}; expected the name of a file in each entry; copy the vectors again`,
    );
  return files;
}

/** Every recorded layer of one file against its reference, and with workers also against one process. */
export async function verifyVectorFile(
  directory: string,
  file: string,
  shape: ClusterShape,
): Promise<VerifyCase[]> {
  const name = file.replace(/\.safetensors$/, '');
  const path = join(directory, file);
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new OperatingError(
      'VECTORS_INVALID',
      `${path} cannot be read (${error.code}); expected every file that the manifest names; copy the vectors again`,
    );
  });
  const { files, layers } = layerVectorCheckpoint(bytes, file);
  // On disk, because worker processes read their slices themselves.
  const modelPath = await mkdtemp(join(tmpdir(), 'ultramem-verify-'));
  try {
    for (const [fileName, content] of files) await writeFile(join(modelPath, fileName), content);
    const kernels = await openBackend({ backend: shape.backends[0] });
    const checkpoint = await openCheckpoint(fileDirectory(modelPath), { parts: 'memory' });
    const memoryLayers = await loadMemoryLayers(checkpoint, kernels);
    try {
      if (shape.workers === 0) {
        const lookUp = await createLocalLookup({ checkpoint, kernels, memoryLayers });
        return await verifyLayers({ name, layers, memoryLayers, kernels, lookUp });
      }
      // Whatever computes in the cluster is held against plain TypeScript.
      const oracle = createReferenceKernels(systemClock.breathe);
      const local = await createLocalLookup({ checkpoint, kernels: oracle, memoryLayers });
      return await withCluster(
        shape,
        { path: modelPath, checkpoint, kernels, tokenizer: null },
        async (coordinator) => {
          const { lookUp, comparison } = compareLookups(coordinator.lookUp, local);
          const checks = await verifyLayers({ name, layers, memoryLayers, kernels, lookUp });
          return checks.map((check) => ({
            ...check,
            ok: check.ok && comparison.indicesEqual,
            indicesEqual: check.indicesEqual && comparison.indicesEqual,
            bitIdentical: comparison.bitIdentical,
            maxRelativeError: comparison.maxRelativeError,
          }));
        },
      );
    } finally {
      await checkpoint.close();
      await kernels.close();
    }
  } finally {
    await rm(modelPath, { recursive: true, force: true });
  }
}

export function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new OperatingError(
      'VECTORS_INVALID',
      `${path} is not JSON (${(error as Error).message}); expected a file of the recorded vectors; copy it again`,
    );
  }
}
