export { probeTensorflow, type TensorflowProbe } from './probe-tensorflow.ts';
export { createTensorflowKernels, type TensorflowOptions } from './tensorflow-kernels.ts';
