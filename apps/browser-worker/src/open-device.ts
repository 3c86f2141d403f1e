import { createReferenceKernels, type Kernels } from '@ultramem/kernels';

/** What this page computes with, until it is lost. */
export interface Device {
  readonly kernels: Kernels;
  /** For people. */
  readonly name: string;
  /** Resolves with the reason when the device is gone, as after a crash of its driver. */
  readonly lost: Promise<string>;
}

/** The GPU of this machine. */
export async function openDevice(): Promise<Device> {
  return {
    kernels: createReferenceKernels(),
    name: 'the CPU, in plain TypeScript',
    lost: new Promise(() => {}),
  };
}
