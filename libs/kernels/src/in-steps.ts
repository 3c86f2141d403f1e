import { assert } from '@ultramem/invariant';
import { type Candidates, rangeLength } from '@ultramem/ultramem';
import { assertFeedForward } from './check-dense.ts';
import type { Activation, FeedForward } from './dense.ts';
import type { GridRequest, Kernels, KeyTable, SelectRequest } from './kernels.ts';

/**
 * `Kernels.feedForward` for backends that compute it step by step.
 *
 * @param activate the non-linearity on `[rows, width]`, which it may change; halves the width for swiglu
 */
export async function feedForwardInSteps(
  layer: FeedForward,
  x: Float32Array,
  rowCount: number,
  matmul: Kernels['matmul'],
  activate: (kind: Activation, x: Float32Array, width: number) => Float32Array | Promise<Float32Array>,
): Promise<Float32Array> {
  const { inner, activation, outer } = layer;
  assertFeedForward(layer, x, rowCount);
  const hidden = await matmul(inner.weight, x, rowCount, inner.bias);
  const activated = await activate(activation, hidden, inner.weight.rows);
  return matmul(outer.weight, activated, rowCount, outer.bias);
}

/** The grid over candidates of keys that hold the whole axes. */
export function gridRequest(keys: KeyTable, request: SelectRequest, candidates: Candidates): GridRequest {
  const { headCount, rank, range } = keys;
  assert(range.start === 0, 'whoever selects holds every key');
  const { cores, coreCount } = request;
  return { candidates, headCount, keyCount: rangeLength(range), rank, cores, coreCount };
}
