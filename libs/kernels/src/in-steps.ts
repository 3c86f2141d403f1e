import { assert } from '@ultramem/invariant';
import { rangeLength } from '@ultramem/ultramem';
import { assertFeedForward } from './check-dense.ts';
import type { Activation, FeedForward } from './dense.ts';
import type { Kernels, KeyTable } from './kernels.ts';
import type { SelectedSlots, SelectRequest } from './selection.ts';

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

/** `Kernels.select` for backends that compute it step by step. */
export async function selectInSteps(
  keys: KeyTable,
  request: SelectRequest,
  { scoreKeys, selectGrid, address }: Pick<Kernels, 'scoreKeys' | 'selectGrid' | 'address'>,
): Promise<SelectedSlots> {
  const { cores, coreCount, addressing, ...score } = request;
  const { headCount, rank, range } = keys;
  assert(range.start === 0, 'whoever selects holds every key');
  const candidates = await scoreKeys(keys, score);
  const keyCount = rangeLength(range);
  const selection = await selectGrid({ candidates, headCount, keyCount, rank, cores, coreCount });
  const { virtualIndex } = selection;
  return { selection, addresses: await address({ virtualIndex, ...addressing }) };
}
