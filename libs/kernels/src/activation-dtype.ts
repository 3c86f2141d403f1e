import { fromFloat32, toFloat32 } from '@ultramem/checkpoint';
import type { Kernels, Matrix } from './kernels.ts';

/** What a product reads of `x`: its nearest bf16 where the weight multiplies those, else `x` itself. */
export function activationsFor({ activations }: Pick<Matrix, 'activations'>, x: Float32Array): Float32Array {
  return activations === 'BF16' ? toFloat32('BF16', fromFloat32('BF16', x)) : x;
}

/** The same kernels, for models that are run as PyTorch runs them in bf16: weights stored in bf16 multiply activations in bf16. */
export function withBf16Activations(kernels: Kernels): Kernels {
  return {
    ...kernels,
    loadMatrix: (source, activations = source.dtype === 'BF16' ? 'BF16' : 'F32') =>
      kernels.loadMatrix(source, activations),
  };
}
