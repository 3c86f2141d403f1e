import { assert } from '@ultramem/invariant';

/** `sum += addend`, element by element. */
export function addInto(sum: Float32Array, addend: Float32Array): void {
  assert(sum.length === addend.length, 'what is added has the shape of the sum');
  for (let i = 0; i < sum.length; i++) sum[i] += addend[i];
}
