export {
  openWebgpuDevice,
  probeWebgpu,
  type WebgpuDevice,
  type WebgpuProbe,
} from './open-webgpu-device.ts';
