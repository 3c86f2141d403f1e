import { createReferenceKernels, type Kernels } from '@ultramem/kernels';
import { createWebgpuKernels, requiredLimits } from '@ultramem/kernels-webgpu';
import { browserClock } from './browser-clock.ts';

/** What this page computes with, until it is lost. */
export interface Device {
  readonly kernels: Kernels;
  /** For people. */
  readonly name: string;
  /** Resolves with the reason when the device is gone, as after a crash of its driver, and when it is closed. */
  readonly lost: Promise<string>;
}

/** The GPU of this machine with all that it can give; where a page gets none, the CPU. */
export async function openDevice(): Promise<Device> {
  if (!isSecureContext) return openCpu('browsers give the GPU to pages of https:// and of this machine only');
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) return openCpu('this browser has no WebGPU');
  try {
    const device = await adapter.requestDevice({ requiredLimits: requiredLimits(adapter) });
    const kernels = createWebgpuKernels(device, { breathe: browserClock.breathe });
    return { kernels, name: `WebGPU on ${nameOf(adapter.info)}`, lost: kernels.lost };
  } catch (error) {
    return openCpu(error instanceof Error ? error.message : String(error));
  }
}

function openCpu(why: string): Device {
  return {
    kernels: createReferenceKernels(browserClock.breathe),
    name: `the CPU, in plain TypeScript: ${why}`,
    lost: new Promise(() => {}),
  };
}

/** Browsers tell as much as they like: often the vendor and the architecture alone. */
function nameOf({ vendor, architecture, device, description }: GPUAdapterInfo): string {
  const words = description === '' ? [vendor, architecture, device] : [description];
  return words.filter((word) => word !== '').join(' ') || 'an adapter without a name';
}
