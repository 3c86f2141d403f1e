export { createNativeKernels } from './native-kernels.ts';
export { type NativeProbe, probeNative } from './probe-native.ts';
