/// <reference types="@webgpu/types" />

/** What buffers and shaders of large tables need; everything else keeps its default. */
const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupsPerDimension',
] as const;

/** The `requiredLimits` of a device for `createWebgpuKernels`: all that the adapter can give of what they use. */
export function requiredLimits(adapter: GPUAdapter): Record<string, number> {
  return Object.fromEntries(LIMITS.map((limit) => [limit, adapter.limits[limit]]));
}
