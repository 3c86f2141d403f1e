export { requiredLimits } from './required-limits.ts';
export { createWebgpuKernels, type WebgpuKernels, type WebgpuOptions } from './webgpu-kernels.ts';
