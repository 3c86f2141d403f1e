import type { Kernels, Linear } from '@ultramem/kernels';

/** `x weightᵀ + bias` for `rowCount` rows. */
export function applyLinear(
  kernels: Kernels,
  linear: Linear,
  x: Float32Array,
  rowCount: number,
): Promise<Float32Array> {
  return kernels.matmul(linear.weight, x, rowCount, linear.bias);
}
