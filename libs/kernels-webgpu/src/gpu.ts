/// <reference types="@webgpu/types" />
import { assert, OperatingError } from '@ultramem/invariant';
import { GpuBuffers } from './gpu-buffers.ts';

/** What a shader sees of a buffer, whose other bytes belong to nobody. */
export type Region = GPUBufferBinding & { buffer: GPUBuffer; size: number };

/** A device with its buffers and compiled shaders. Everything sent to it goes through a `Job`. */
export class Gpu {
  readonly device: GPUDevice;
  readonly buffers: GpuBuffers;
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  #failure: GPUError | null = null;

  constructor(device: GPUDevice) {
    this.device = device;
    this.buffers = new GpuBuffers(device);
    device.onuncapturederror = ({ error }) => {
      this.#failure ??= error;
    };
  }

  /** The entry point `main` of a shader, compiled once. */
  pipeline(code: string): Promise<GPUComputePipeline> {
    const known = this.#pipelines.get(code);
    if (known !== undefined) return known;
    const module = this.device.createShaderModule({ code });
    const compiling = this.device.createComputePipelineAsync({
      layout: 'auto',
      compute: { module, entryPoint: 'main' },
    });
    this.#pipelines.set(code, compiling);
    return compiling;
  }

  /**
   * Runs `work` on one command list; what the job borrowed goes back when it settles.
   *
   * @throws OperatingError DEVICE_LOST, DEVICE_MEMORY_EXHAUSTED
   */
  async job<T>(work: (job: Job) => Promise<T>): Promise<T> {
    const job = new Job(this);
    try {
      return await work(job);
    } finally {
      job.end();
    }
  }

  /** Throws what the device complained about since the last call. */
  refuseFailure(): void {
    const failure = this.#failure;
    this.#failure = null;
    if (failure === null) return;
    if (failure.constructor.name === 'GPUOutOfMemoryError') throw memoryExhausted(failure.message);
    assert(false, `the device accepts what it is told: ${failure.message}`);
  }
}

/** Commands that run together, and the buffers they borrow. */
export class Job {
  readonly #gpu: Gpu;
  readonly #encoder: GPUCommandEncoder;
  readonly #borrowed: GPUBuffer[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#encoder = gpu.device.createCommandEncoder();
  }

  /** Numbers for a shader to read. */
  upload(data: Float32Array | Uint32Array): Region {
    const region = this.scratch(data.byteLength);
    this.#gpu.device.queue.writeBuffer(region.buffer, 0, data as Float32Array<ArrayBuffer>);
    return region;
  }

  /** `u32` parameters; a shader declares them as a struct of u32 in this order. */
  uniform(words: number[]): Region {
    const padded = new Uint32Array(Math.ceil(words.length / 4) * 4);
    padded.set(words);
    const buffer = this.#borrow('uniform', padded.byteLength);
    this.#gpu.device.queue.writeBuffer(buffer, 0, padded);
    return { buffer, offset: 0, size: padded.byteLength };
  }

  /** Room for a shader to write. What it holds before is left over from other jobs. */
  scratch(byteLength: number): Region {
    const size = Math.max(4, byteLength);
    return { buffer: this.#borrow('storage', size), offset: 0, size };
  }

  /** Binds `regions` as bindings 0, 1, ... of group 0. */
  dispatch(pipeline: GPUComputePipeline, regions: Region[], groups: [number, number?, number?]): void {
    const bindGroup = this.#gpu.device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: regions.map((resource, binding) => ({ binding, resource })),
    });
    const pass = this.#encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(...groups);
    pass.end();
  }

  /** Copies `byteLength` bytes of a buffer into the answer of `read`, at `at`. */
  copy(from: GPUBuffer, fromOffset: number, into: GPUBuffer, at: number, byteLength: number): void {
    this.#encoder.copyBufferToBuffer(from, fromOffset, into, at, byteLength);
  }

  staging(byteLength: number): GPUBuffer {
    return this.#borrow('staging', Math.max(4, byteLength));
  }

  /** Sends everything off and reads regions back. The last call of a job. */
  async read(regions: Region[]): Promise<ArrayBuffer[]> {
    const stagings = regions.map(({ buffer, size }) => {
      const staging = this.staging(size);
      this.copy(buffer, 0, staging, 0, size);
      return staging;
    });
    return this.finish(
      stagings,
      regions.map(({ size }) => size),
    );
  }

  /** As `read`, of buffers that `copy` has filled. */
  async finish(stagings: GPUBuffer[], sizes: number[]): Promise<ArrayBuffer[]> {
    this.#gpu.device.queue.submit([this.#encoder.finish()]);
    // Only a lost device refuses to map a buffer of ours.
    const mapped = await Promise.allSettled(
      stagings.map((staging, i) => staging.mapAsync(MAP_READ, 0, alignedSize(sizes[i]))),
    );
    this.#gpu.refuseFailure();
    const refused = mapped.find((result) => result.status === 'rejected');
    if (refused !== undefined) throw deviceLost(refused.reason);
    return stagings.map((staging, i) => {
      const bytes = staging.getMappedRange(0, alignedSize(sizes[i])).slice(0, sizes[i]);
      staging.unmap();
      return bytes;
    });
  }

  end(): void {
    for (const buffer of this.#borrowed) this.#gpu.buffers.giveBack(buffer);
  }

  #borrow(kind: 'storage' | 'uniform' | 'staging', byteLength: number): GPUBuffer {
    const buffer = this.#gpu.buffers.borrow(kind, byteLength);
    this.#borrowed.push(buffer);
    return buffer;
  }
}

/** `GPUMapMode.READ`; Node has no such global. */
const MAP_READ = 1;

function alignedSize(byteLength: number): number {
  return Math.ceil(Math.max(4, byteLength) / 4) * 4;
}

/** More workgroups than one dimension takes, in two; the shader counts `x + y * 65535`. */
export function inTwoDimensions(count: number): [number, number] {
  const x = Math.min(count, 65_535);
  return [x, Math.ceil(count / Math.max(1, x))];
}

export function deviceLost(cause: unknown): OperatingError {
  return new OperatingError(
    'DEVICE_LOST',
    'the GPU device was lost; expected it to answer; load the weights again on a new device',
    { retriable: true, cause },
  );
}

export function memoryExhausted(what: string): OperatingError {
  return new OperatingError(
    'DEVICE_MEMORY_EXHAUSTED',
    `the GPU has no memory left (${what}); expected room for the slice and its lookups; give this worker less --memory`,
  );
}
