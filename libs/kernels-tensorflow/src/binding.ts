import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import util from 'node:util';
import { OperatingError } from '@ultramem/invariant';

/** The part of `@tensorflow/tfjs-node-gpu`'s native binding that is used here: TensorFlow's operations by tensor id. */
export interface Binding {
  readonly TF_Version: string;
  createTensor(
    shape: readonly number[],
    dtype: number,
    values: Float32Array | Int32Array | Uint8Array,
  ): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array | Int32Array | Uint8Array | BigInt64Array;
  executeOp(
    name: string,
    attributes: readonly OpAttribute[],
    inputs: readonly number[],
    outputCount: number,
  ): { id: number; shape: number[] }[];
  getNumOfTensors(): number;
  isUsingGpuDevice(): boolean;
}

export interface OpAttribute {
  name: string;
  /** `TF_AttrType` of TensorFlow's C interface. */
  type: number;
  value: unknown;
}

/** The CPU, or the GPU with a number, as `nvidia-smi` counts them. */
export type TensorflowDevice = 'cpu' | `gpu:${number}`;

const PACKAGE = '@tensorflow/tfjs-node-gpu';

/** One per process: TensorFlow chooses its devices when it is loaded and cannot be unloaded. */
let loaded: { binding: Binding; device: TensorflowDevice | null } | null = null;

/**
 * Loads TensorFlow; the first call decides about the device. Null takes the first GPU, or the CPU where there is none.
 *
 * @throws OperatingError BACKEND_UNAVAILABLE
 */
export function loadBinding(device: TensorflowDevice | null): Binding {
  if (loaded === null) loaded = { binding: load(device), device };
  if (device !== null && device !== loaded.device && !isAlready(loaded.binding, device))
    throw new OperatingError(
      'BACKEND_UNAVAILABLE',
      `TensorFlow was asked for ${device} after it was loaded for ${loaded.device ?? 'the default device'}; expected one device in a process; start another process for the other device`,
    );
  if (device?.startsWith('gpu') && !loaded.binding.isUsingGpuDevice())
    throw new OperatingError(
      'BACKEND_UNAVAILABLE',
      `TensorFlow found no GPU for ${device}; expected a graphics card with its driver, and TensorFlow for it; see nvidia-smi, and run: ${setupCommand(true)}`,
    );
  return loaded.binding;
}

/** Why TensorFlow cannot be loaded and what helps, or null. Looks at files, loads nothing. */
export function whyAbsent(): { why: string; remedy: string } | null {
  const folder = packageFolder();
  if (folder === null)
    return {
      why: `the package ${PACKAGE} is not installed`,
      remedy: `run npm install --ignore-scripts ${PACKAGE}@4.22.0, then ${setupCommand()}`,
    };
  if (!existsSync(join(folder, 'lib/napi-v8/tfjs_binding.node')))
    return { why: 'TensorFlow is not set up', remedy: `run ${setupCommand()}` };
  return null;
}

function load(device: TensorflowDevice | null): Binding {
  const absent = whyAbsent();
  if (absent !== null)
    throw new OperatingError(
      'BACKEND_UNAVAILABLE',
      `TensorFlow cannot be loaded (${absent.why}); expected its libraries and the binding; ${absent.remedy}`,
    );
  const { env } = process;
  env.CUDA_VISIBLE_DEVICES = visibleDevice(device, env.CUDA_VISIBLE_DEVICES);
  env.TF_FORCE_GPU_ALLOW_GROWTH ??= 'true'; // else it takes a whole card for itself
  env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  // The package calls a function that Node dropped in version 23.
  Object.assign(util, { isNullOrUndefined: (value: unknown) => value === null || value === undefined });
  try {
    return createRequire(import.meta.url)(PACKAGE).backend().binding;
  } catch (error) {
    throw new OperatingError(
      'BACKEND_UNAVAILABLE',
      `TensorFlow cannot be loaded (${error instanceof Error ? error.message.split('\n')[0] : String(error)}); expected its libraries as they were set up; run again: ${setupCommand()}`,
    );
  }
}

/** Exactly one card, because the binding would put its tensors on the last one it sees; of those that the environment allows. */
export function visibleDevice(device: TensorflowDevice | null, allowed: string | undefined): string {
  if (device === 'cpu') return '-1';
  const number = device === null ? 0 : Number(device.slice('gpu:'.length));
  if (allowed === undefined) return String(number);
  return allowed.split(',')[number] ?? '-1';
}

function isAlready(binding: Binding, device: TensorflowDevice): boolean {
  return device === 'cpu' && !binding.isUsingGpuDevice();
}

function packageFolder(): string | null {
  try {
    return dirname(createRequire(import.meta.url).resolve(`${PACKAGE}/package.json`));
  } catch {
    return null;
  }
}

export function setupCommand(forGpu = false): string {
  const setup = fileURLToPath(new URL('../setup.mjs', import.meta.url));
  return setup.includes('node_modules')
    ? `node ${setup}${forGpu ? ' --gpu' : ''}`
    : `npm run setup:tensorflow${forGpu ? ' -- --gpu' : ''}`;
}
