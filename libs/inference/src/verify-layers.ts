import type { Kernels } from '@ultramem/kernels';
import { winnersPerToken } from '@ultramem/ultramem';
import type { LayerVector } from './layer-vector.ts';
import type { MemoryLayer } from './load-memory-layers.ts';
import { beginLookup, finishLookup } from './memory-layer.ts';
import type { LookupAnswer, MemoryLookup } from './memory-lookup.ts';

/** How one recorded memory layer compares with its reference. */
export interface LayerCheck {
  name: string;
  ok: boolean;
  /** Winners, blocks and slots, in order. */
  indicesEqual: boolean;
  /** Largest differences from the recorded numbers. */
  maxAbsError: number; // of the output; the one that decides
  maxScoreError: number;
  maxPooledError: number;
}

/** SEMANTICS section 16. */
const OUTPUT_TOLERANCE = 1e-5;

/**
 * Runs every recorded layer of a file through `lookUp`, local or sharded, and compares.
 *
 * @param name of the file; a layer's check is called `name/layer0`
 */
export async function verifyLayers(options: {
  name: string;
  layers: readonly LayerVector[];
  memoryLayers: readonly MemoryLayer[];
  kernels: Kernels;
  lookUp: MemoryLookup;
}): Promise<LayerCheck[]> {
  const { kernels, lookUp } = options;
  const checks: LayerCheck[] = [];
  for (const vector of options.layers) {
    const memoryLayer = options.memoryLayers[vector.layer];
    const answer = await beginLookup(kernels, memoryLayer, lookUp, vector.input);
    const output = await finishLookup(kernels, memoryLayer, vector.input, answer);
    const indicesEqual = equalIndices(memoryLayer, vector, answer);
    const maxAbsError = maxAbsDifference(output, vector.output);
    checks.push({
      name: `${options.name}/layer${vector.layer}`,
      ok: indicesEqual && maxAbsError <= OUTPUT_TOLERANCE,
      indicesEqual,
      maxAbsError,
      maxScoreError: maxAbsDifference(answer.selection.scores, vector.scores),
      maxPooledError: maxAbsDifference(answer.pooled, keptBlocks(memoryLayer, vector)),
    });
  }
  return checks;
}

function equalIndices(
  { geometry }: MemoryLayer,
  vector: LayerVector,
  { selection, addresses }: LookupAnswer,
): boolean {
  const { bestIndex, block, slot } = vector;
  if (bestIndex.length !== vector.tokenCount * winnersPerToken(geometry)) return false;
  const blocksKept = geometry.poolBlocks === geometry.virtualBlocks;
  return (
    equal(selection.virtualIndex, bestIndex) &&
    equal(addresses.slot, slot ?? bestIndex) &&
    (block === null || !blocksKept || equal(addresses.block, block))
  );
}

/** The recorded blocks, summed where the layer sums them before its projection (SEMANTICS 5.6). */
function keptBlocks({ geometry }: MemoryLayer, { pooled }: LayerVector): Float32Array {
  const { poolBlocks, virtualBlocks, valueWidth } = geometry;
  if (poolBlocks === virtualBlocks) return pooled;
  const sums = new Float32Array(pooled.length / virtualBlocks);
  for (let i = 0; i < pooled.length; i++) {
    const token = Math.floor(i / (virtualBlocks * valueWidth));
    sums[token * valueWidth + (i % valueWidth)] += pooled[i];
  }
  return sums;
}

function equal(found: ArrayLike<number>, expected: ArrayLike<number>): boolean {
  if (found.length !== expected.length) return false;
  for (let i = 0; i < found.length; i++) if (found[i] !== expected[i]) return false;
  return true;
}

/** Infinite when the lengths differ or a number is NaN. */
export function maxAbsDifference(found: Float32Array, expected: Float32Array): number {
  if (found.length !== expected.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let i = 0; i < found.length; i++) {
    const difference = Math.abs(found[i] - expected[i]);
    if (Number.isNaN(difference)) return Number.POSITIVE_INFINITY;
    largest = Math.max(largest, difference);
  }
  return largest;
}
