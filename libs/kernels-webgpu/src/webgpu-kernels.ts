/// <reference types="@webgpu/types" />

import { assert } from '@ultramem/invariant';
import { createReferenceKernels, type Kernels } from '@ultramem/kernels';
import { rangeLength } from '@ultramem/ultramem';
import { dotRows } from './dot-rows.ts';
import { Gpu } from './gpu.ts';
import { loadKeys } from './key-table.ts';
import { loadMatrix, matmul } from './matmul.ts';
import { pool } from './pool.ts';
import { scoreKeys } from './score-keys.ts';
import { loadValues } from './value-table.ts';

export interface WebgpuOptions {
  /** Largest buffer of a table; default and upper limit is what the device can bind. */
  partBytes?: number;
  /** Awaited in the middle of long computations on the host, so that sockets are served (`Clock.breathe`). */
  breathe?: () => Promise<void>;
}

export interface WebgpuKernels extends Kernels {
  /** Resolves when the device is lost, also by `close`, with the reason; every call rejects with DEVICE_LOST from then on. */
  readonly lost: Promise<string>;
  /** Buffers that exist on the device now, tables and idle ones included. */
  readonly bufferCount: number;
}

/**
 * The kernels in WGSL on a device of the caller, who may share it. Selection is the reference's to the last bit; all else is within
 * the contract's tolerance, and the same for a token in any batch.
 */
export function createWebgpuKernels(device: GPUDevice, options: WebgpuOptions = {}): WebgpuKernels {
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
  const partBytes = Math.min(options.partBytes ?? maxBufferSize, maxBufferSize, maxStorageBufferBindingSize);
  const breathe = options.breathe ?? null;
  const gpu = new Gpu(device);
  const host = createReferenceKernels(breathe);
  const kernels: WebgpuKernels = {
    backend: 'webgpu',
    lost: device.lost.then(({ message }) => message),
    get bufferCount() {
      return gpu.buffers.count;
    },
    loadMatrix: (source) => loadMatrix(gpu, partBytes, source),
    loadKeys: (source, range, norm) => loadKeys(gpu, partBytes, source, range, norm),
    loadValues: (source, rows, columns) => loadValues(gpu, partBytes, source, rows, columns),
    matmul: (weight, x, rowCount, bias) => matmul(gpu, weight, x, rowCount, bias),
    activate: (kind, x, width) => host.activate(kind, x, width),
    attend: (request) => host.attend(request),
    scoreKeys: (keys, request) => scoreKeys(gpu, breathe, keys, request),
    selectGrid: (request) => host.selectGrid(request),
    select: async (keys, request) => {
      const { cores, coreCount, ...score } = request;
      const { headCount, rank, range } = keys;
      assert(range.start === 0, 'whoever selects holds every key');
      const candidates = await scoreKeys(gpu, breathe, keys, score);
      return host.selectGrid({ candidates, headCount, keyCount: rangeLength(range), rank, cores, coreCount });
    },
    pool: (values, request) => pool(gpu, values, request),
    dotRows: (table, request) => dotRows(gpu, table, request),
    close: async () => device.destroy(),
  };
  return kernels;
}
