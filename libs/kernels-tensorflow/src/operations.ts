// TensorFlow's own operations, for benchmarks that hold the kernels against them. Programs take the kernels.
export { type Binding, loadBinding } from './binding.ts';
export { type TensorId, type Tensors, TYPE, typeOf, withTensors } from './tensors.ts';
