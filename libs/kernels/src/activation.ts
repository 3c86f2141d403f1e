import type { Activation } from './dense.ts';
import { gelu } from './gate-weights.ts';

/**
 * The MLP's non-linearity (SEMANTICS 2.2 step 8). swiglu halves the width; the second half is the gate.
 *
 * @param f `[rows, width]`; gelu and relu work in place
 * @returns `[rows, width]`, or `[rows, width / 2]` for swiglu
 */
export function activate(kind: Activation, f: Float32Array, width: number): Float32Array {
  switch (kind) {
    case 'swiglu':
      return swiglu(f, width);
    case 'gelu':
      for (let i = 0; i < f.length; i++) f[i] = gelu(f[i]);
      return f;
    case 'relu':
      for (let i = 0; i < f.length; i++) f[i] = Math.max(0, f[i]);
      return f;
  }
}

function swiglu(f: Float32Array, width: number): Float32Array {
  const half = width / 2;
  const result = new Float32Array(f.length / 2);
  for (let row = 0, at = 0; row < f.length; row += width)
    for (let i = 0; i < half; i++, at++) result[at] = silu(f[row + half + i]) * f[row + i];
  return result;
}

export function silu(z: number): number {
  return z / (1 + Math.exp(-z));
}
