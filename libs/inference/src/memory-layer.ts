import { type Kernels, silu } from '@ultramem/kernels';
import { SIDES } from '@ultramem/ultramem';
import type { MemoryLayer } from './load-memory-layers.ts';
import type { LookupAnswer, MemoryLookup } from './memory-lookup.ts';

/**
 * First half of a memory layer: projects the MLP input of the block it reads to queries and asks the tables
 * (SEMANTICS 4.1, 5.2, 5.5, 6 step 1).
 *
 * @param input `[tokenCount, modelWidth]`, not to be changed until the answer is there
 * @param explain asks for the candidates too
 */
export async function beginLookup(
  kernels: Kernels,
  memoryLayer: MemoryLayer,
  lookUp: MemoryLookup,
  input: Float32Array,
  explain = false,
): Promise<LookupAnswer> {
  const { geometry, layer } = memoryLayer;
  const tokenCount = input.length / geometry.modelWidth;
  const projected = await kernels.matmul(memoryLayer.queryProjection, input, tokenCount, null);
  const query = await kernels.normalise(
    memoryLayer.queryNorm,
    usedGroups(memoryLayer, projected, tokenCount),
    geometry.keyWidth,
  );
  const preQuery =
    memoryLayer.preProjection === null
      ? null
      : await kernels.matmul(memoryLayer.preProjection, input, tokenCount, null);
  return lookUp({ layer, tokenCount, query, preQuery, explain });
}

/**
 * Second half: the pooled values to what is added to the residual stream (SEMANTICS 4.6, 5.6, 6 step 7).
 *
 * @param input what `beginLookup` got
 * @returns `[tokenCount, modelWidth]`
 */
export async function finishLookup(
  kernels: Kernels,
  memoryLayer: MemoryLayer,
  input: Float32Array,
  answer: LookupAnswer,
): Promise<Float32Array> {
  const tokenCount = input.length / memoryLayer.geometry.modelWidth;
  let pooled = answer.pooled;
  if (memoryLayer.gateProjection !== null) {
    const gate = await kernels.matmul(memoryLayer.gateProjection, input, tokenCount, null);
    pooled = pooled.map((value, i) => value * silu(gate[i]));
  }
  return kernels.matmul(memoryLayer.valueProjection, pooled, tokenCount, null);
}

/** Drops the query pairs that no head takes: half of the projection of a v2 layer with one or two heads. */
function usedGroups({ geometry }: MemoryLayer, projected: Float32Array, tokenCount: number): Float32Array {
  const { queryGroupCount, queryGroupUsed, keyWidth } = geometry;
  if (queryGroupUsed === queryGroupCount) return projected;
  const width = queryGroupUsed * SIDES * keyWidth;
  const used = new Float32Array(tokenCount * width);
  for (let token = 0; token < tokenCount; token++) {
    const from = token * queryGroupCount * SIDES * keyWidth;
    used.set(projected.subarray(from, from + width), token * width);
  }
  return used;
}
