/// <reference types="@webgpu/types" />

import {
  attendAlone,
  attendEach,
  createReferenceKernels,
  feedForwardInSteps,
  type Kernels,
  selectInSteps,
} from '@ultramem/kernels';
import { activate } from './activate.ts';
import { attend } from './attend.ts';
import { dotRows } from './dot-rows.ts';
import { deviceLost, Gpu } from './gpu.ts';
import { loadKeys } from './key-table.ts';
import { loadMatrix, matmul } from './matmul.ts';
import { pool } from './pool.ts';
import { scoreKeys } from './score-keys.ts';
import { selectGrid } from './select-grid.ts';
import { loadValues } from './value-table.ts';

export interface WebgpuOptions {
  /** Largest buffer of a table; default and upper limit is what the device can bind. */
  partBytes?: number;
  /** Batches with fewer grid cells in all are left to the host; default is where the way to the device and back costs about as much. */
  gridCellsMin?: number;
  /** Awaited in the middle of long computations on the host, so that sockets are served (`Clock.breathe`). */
  breathe?: () => Promise<void>;
}

/** About a millisecond of plain JavaScript. */
const GRID_CELLS_MIN = 2 ** 14;

export interface WebgpuKernels extends Kernels {
  /** Resolves when the device is lost, also by `close`, with the reason; every call rejects with DEVICE_LOST from then on. */
  readonly lost: Promise<string>;
  /** Buffers that exist on the device now, tables and idle ones included. */
  readonly bufferCount: number;
}

/**
 * The kernels in WGSL on a device, which is theirs from now on. Selection is the reference's to the last bit; all else is within the
 * contract's tolerance, and the same for a token in any batch. Every call may reject with OperatingError DEVICE_LOST.
 */
export function createWebgpuKernels(device: GPUDevice, options: WebgpuOptions = {}): WebgpuKernels {
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
  const partBytes = Math.min(options.partBytes ?? maxBufferSize, maxBufferSize, maxStorageBufferBindingSize);
  const breathe = options.breathe ?? null;
  const gpu = new Gpu(device);
  const host = createReferenceKernels(breathe);
  const gridLimits = { cellsMin: options.gridCellsMin ?? GRID_CELLS_MIN, partBytes };
  const choosing: Pick<Kernels, 'scoreKeys' | 'selectGrid' | 'address'> = {
    scoreKeys: (keys, request) => scoreKeys(gpu, breathe, keys, request),
    selectGrid: (request) => selectGrid(gpu, host.selectGrid, request, gridLimits),
    address: host.address,
  };
  const product: Kernels['matmul'] = (weight, x, rowCount, bias) => matmul(gpu, weight, x, rowCount, bias);
  const { run, lost } = refusingWhenLost(device);
  return {
    backend: 'webgpu',
    lost,
    get bufferCount() {
      return gpu.buffers.count;
    },
    loadMatrix: (source, activations) => run(() => loadMatrix(gpu, partBytes, source, activations)),
    loadKeys: (source, range, norm) => run(() => loadKeys(gpu, partBytes, source, range, norm)),
    loadValues: (source, rows, columns) => run(() => loadValues(gpu, partBytes, source, rows, columns)),
    matmul: (...all) => run(() => product(...all)),
    feedForward: (layer, x, rowCount) =>
      run(() => feedForwardInSteps(layer, x, rowCount, product, (...all) => activate(gpu, ...all))),
    normalise: host.normalise,
    rotate: host.rotate,
    addInto: host.addInto,
    attend: (request) =>
      run(() =>
        attendEach(request, (sequence) => attend(gpu, () => host.attend(attendAlone(sequence)), sequence)),
      ),
    scoreKeys: (...all) => run(() => choosing.scoreKeys(...all)),
    selectGrid: (request) => run(() => choosing.selectGrid(request)),
    address: choosing.address,
    select: (keys, request) => run(() => selectInSteps(keys, request, choosing)),
    pool: (values, request) => run(() => pool(gpu, values, request)),
    dotRows: (table, request) => run(() => dotRows(gpu, table, request)),
    mergePartials: host.mergePartials,
    packVectors: host.packVectors,
    unpackVectors: host.unpackVectors,
    close: async () => device.destroy(),
  };
}

/** A lost device goes on taking commands and answers nothing, or zeros: no result that it may have made leaves from here. */
function refusingWhenLost(device: GPUDevice) {
  let reason: string | null = null;
  const lost = device.lost.then(({ message }) => {
    reason = message;
    return message;
  });
  const refuse = (cause: unknown): void => {
    if (reason !== null) throw deviceLost(cause);
  };
  const run = async <T>(work: () => Promise<T>): Promise<T> => {
    refuse(reason);
    const result = await work().catch((error: unknown) => {
      refuse(error);
      throw error;
    });
    refuse(reason);
    return result;
  };
  return { run, lost };
}
