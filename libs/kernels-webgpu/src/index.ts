export { createWebgpuKernels, type WebgpuKernels, type WebgpuOptions } from './webgpu-kernels.ts';
