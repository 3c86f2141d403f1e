import type { Activation } from '@ultramem/kernels';
import type { Binding } from './binding.ts';
import { intOf, type TensorId, type Tensors, TYPE, typeOf, withTensors } from './tensors.ts';

/**
 * The MLP's non-linearity (SEMANTICS 2.2 step 8), in f64 on the device. relu stays on the host: it costs less than a copy.
 *
 * @param x `[rows, width]`; relu works in place
 */
export function activate(binding: Binding, kind: Activation, x: Float32Array, width: number): Float32Array {
  if (x.length === 0) return x;
  const rows = x.length / width;
  switch (kind) {
    case 'relu':
      for (let i = 0; i < x.length; i++) x[i] = Math.max(0, x[i]);
      return x;
    case 'gelu':
      return withTensors(binding, (tensors) =>
        Float32Array.from(tensors.readF64(gelu(tensors, tensors.widened([rows, width], x)))),
      );
    case 'swiglu':
      return withTensors(binding, (tensors) =>
        Float32Array.from(tensors.readF64(swiglu(tensors, x, rows, width / 2))),
      );
  }
}

/** x (1 + erf(x / sqrt 2)) / 2 */
function gelu(tensors: Tensors, x: TensorId): TensorId {
  const scalar = (value: number) => tensors.f64([], Float64Array.of(value));
  const erf = tensors.run('Erf', [typeOf('T', TYPE.F64)], [tensors.multiply(x, scalar(Math.SQRT1_2))]);
  return tensors.multiply(tensors.multiply(x, scalar(0.5)), tensors.add(erf, scalar(1)));
}

/** The second half, z / (1 + exp(-z)), gates the first. */
function swiglu(tensors: Tensors, x: Float32Array, rows: number, half: number): TensorId {
  const [value, gate] = tensors.runMany(
    'Split',
    [typeOf('T', TYPE.F64), intOf('num_split', 2)],
    [tensors.i32([], [1]), tensors.widened([rows, 2 * half], x)],
    2,
  );
  const sigmoid = tensors.run('Sigmoid', [typeOf('T', TYPE.F64)], [gate]);
  return tensors.multiply(tensors.multiply(gate, sigmoid), value);
}
