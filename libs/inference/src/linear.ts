import type { Kernels, Matrix } from '@ultramem/kernels';

export interface Linear {
  readonly weight: Matrix; // [out, in]
  readonly bias: Float32Array | null; // [out]
}

/** `x weightᵀ + bias` for `rowCount` rows. */
export function applyLinear(
  kernels: Kernels,
  linear: Linear,
  x: Float32Array,
  rowCount: number,
): Promise<Float32Array> {
  return kernels.matmul(linear.weight, x, rowCount, linear.bias);
}
