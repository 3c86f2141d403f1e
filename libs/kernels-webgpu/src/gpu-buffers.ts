/// <reference types="@webgpu/types" />
import { assert } from '@ultramem/invariant';

/** `GPUBufferUsage`; Node has no such global. */
const USAGE = {
  staging: 0x1 /* MAP_READ */ | 0x8 /* COPY_DST */,
  uniform: 0x40 /* UNIFORM */ | 0x8,
  storage: 0x80 /* STORAGE */ | 0x4 /* COPY_SRC */ | 0x8,
};
type Kind = keyof typeof USAGE;

/** Idle buffers above this are destroyed instead of kept for the next job. */
const IDLE_BYTES_MAX = 256 * 2 ** 20;
const SMALLEST_BYTES = 256;

/** Buffers of a device: tables that live long, and temporary ones that are used again, in sizes of powers of two. */
export class GpuBuffers {
  /** Buffers that exist now, idle ones too. */
  count = 0;
  bytes = 0;
  readonly #device: GPUDevice;
  readonly #idle = new Map<string, GPUBuffer[]>();
  readonly #borrowed = new Map<GPUBuffer, string>();
  #idleBytes = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** A buffer of its own for a table. */
  create(byteLength: number): GPUBuffer {
    return this.#create('storage', byteLength);
  }

  destroy(buffer: GPUBuffer): void {
    this.count--;
    this.bytes -= buffer.size;
    buffer.destroy();
  }

  borrow(kind: Kind, byteLength: number): GPUBuffer {
    const size = Math.max(SMALLEST_BYTES, 2 ** Math.ceil(Math.log2(byteLength)));
    const key = `${kind} ${size}`;
    const idle = this.#idle.get(key)?.pop();
    if (idle !== undefined) this.#idleBytes -= size;
    const buffer =
      idle ?? this.#create(kind, Math.min(size, Math.max(byteLength, this.#device.limits.maxBufferSize)));
    this.#borrowed.set(buffer, key);
    return buffer;
  }

  giveBack(buffer: GPUBuffer): void {
    const key = this.#borrowed.get(buffer);
    assert(key !== undefined, 'a buffer is given back once');
    this.#borrowed.delete(buffer);
    if (buffer.mapState !== 'unmapped' || this.#idleBytes + buffer.size > IDLE_BYTES_MAX) {
      this.destroy(buffer);
      return;
    }
    const idle = this.#idle.get(key) ?? [];
    this.#idle.set(key, idle);
    idle.push(buffer);
    this.#idleBytes += buffer.size;
  }

  #create(kind: Kind, byteLength: number): GPUBuffer {
    const size = Math.ceil(Math.max(4, byteLength) / 4) * 4;
    this.count++;
    this.bytes += size;
    return this.#device.createBuffer({ size, usage: USAGE[kind] });
  }
}
