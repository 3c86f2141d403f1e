/// <reference types="@webgpu/types" />
import { findAdapter, NoAdapter } from './find-adapter.ts';

export interface WebgpuDevice {
  device: GPUDevice;
  /** Name of the adapter, with "(software)" where the CPU plays the GPU. */
  description: string;
  /** Gives the device back; then nothing keeps the process alive. */
  close(): void;
}

/**
 * A device for whoever computes with it.
 *
 * @param requiredLimits what it has to have, of what the adapter can give
 * @param options.adapter part of an adapter's name; without it the first hardware adapter, else a software driver
 * @throws OperatingError BACKEND_UNAVAILABLE
 */
export async function openWebgpuDevice(
  requiredLimits: (adapter: GPUAdapter) => Record<string, number>,
  options: { adapter?: string } = {},
): Promise<WebgpuDevice> {
  const { adapter, description } = await findAdapter(options.adapter ?? null);
  const wanted = { requiredLimits: requiredLimits(adapter) };
  const device = await adapter.requestDevice(wanted).catch((error: unknown) => {
    throw new NoAdapter(`${description} gives no device: ${String(error)}`, 'look at its driver');
  });
  return { device, description, close: () => device.destroy() };
}

export type WebgpuProbe =
  | {
      available: true;
      detail: string /** Imitated by the CPU: slower than everything else. */;
      isSoftware: boolean;
    }
  | { available: false; why: string; remedy: string };

/** Whether this machine has WebGPU, and on what. */
export async function probeWebgpu(): Promise<WebgpuProbe> {
  try {
    const { description, isSoftware } = await findAdapter(null);
    return { available: true, detail: description, isSoftware };
  } catch (error) {
    if (error instanceof NoAdapter) return { available: false, why: error.why, remedy: error.remedy };
    throw error;
  }
}
