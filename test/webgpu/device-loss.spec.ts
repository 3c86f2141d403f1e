import { OperatingError } from '@ultramem/invariant';
import {
  type FeedForward,
  type Kernels,
  type Matrix,
  memoryTensor,
  type PoolRequest,
} from '@ultramem/kernels';
import { createWebgpuKernels, requiredLimits, type WebgpuKernels } from '@ultramem/kernels-webgpu';
import { openWebgpuDevice, probeWebgpu, type WebgpuDevice } from '@ultramem/webgpu-device';
import { beforeEach, describe, expect, it } from 'vitest';

const probe = await probeWebgpu();
const title = probe.available ? `on ${probe.detail}` : `without an adapter: ${probe.remedy}`;

const WHOLE = { start: 0, end: 40 };
const ROW = { start: 0, end: 6 };
const values = memoryTensor('values', 'F32', [40, 6], new Float32Array(240).fill(0.5));
const keys = memoryTensor('keys', 'F32', [1, 2, 40, 6], new Float32Array(480).fill(0.25));
const weight = memoryTensor('weight', 'F32', [40, 6], new Float32Array(240).fill(2));

describe.skipIf(!probe.available)(`a lost device ${title}`, () => {
  let opened: WebgpuDevice;
  let kernels: WebgpuKernels;

  beforeEach(async () => {
    opened = await openWebgpuDevice(requiredLimits);
    kernels = createWebgpuKernels(opened.device);
  });

  it('rejects what is under way and everything later, and says why', async () => {
    const [table, matrix, keyTable] = await loadAll(kernels);
    const pending = [
      kernels.pool(table, poolRequest()),
      kernels.matmul(matrix, new Float32Array(6), 1, null),
      kernels.scoreKeys(keyTable, scoreRequest()),
      kernels.loadValues(values, WHOLE, ROW),
    ];
    opened.device.destroy();
    for (const result of await Promise.allSettled(pending)) expectLost(result);
    expect(await kernels.lost).toMatch(/destroyed/);
    const later = [
      kernels.pool(table, poolRequest()),
      kernels.dotRows(table, { ...poolRequest(), query: new Float32Array(6) }),
      kernels.matmul(matrix, new Float32Array(6), 1, null),
      kernels.feedForward(feedForward(matrix), new Float32Array(6), 1),
      kernels.scoreKeys(keyTable, scoreRequest()),
      kernels.loadMatrix(weight),
      kernels.loadKeys(keys, WHOLE, null),
      kernels.loadValues(values, WHOLE, ROW),
    ];
    for (const result of await Promise.allSettled(later)) expectLost(result);
    table.release();
    keyTable.release();
    matrix.release();
  });

  it('is what close leaves behind', async () => {
    const [table] = await loadAll(kernels);
    await kernels.close();
    await expect(kernels.pool(table, poolRequest())).rejects.toMatchObject({ code: 'DEVICE_LOST' });
  });

  it('does not disturb kernels on another device', async () => {
    const other = createWebgpuKernels((await openWebgpuDevice(requiredLimits)).device);
    const [table] = await loadAll(other);
    opened.device.destroy();
    await kernels.lost;
    expect(await other.pool(table, poolRequest())).toEqual(new Float32Array(6).fill(2));
    await other.close();
  });
});

function loadAll(kernels: Kernels) {
  return Promise.all([
    kernels.loadValues(values, WHOLE, ROW),
    kernels.loadMatrix(weight),
    kernels.loadKeys(keys, WHOLE, null),
  ]);
}

/** Never computed, so that its weights need not fit each other. */
function feedForward(weight: Matrix): FeedForward {
  const linear = { weight, bias: null };
  return { inner: linear, activation: 'relu', outer: linear };
}

/** Two slots of the one token, each with weight 2. */
function poolRequest(): PoolRequest {
  return {
    ...{ tokenCount: 1, entryStart: Uint32Array.of(0, 2), slot: Uint32Array.of(3, 39) },
    ...{ block: Uint8Array.of(0, 0), blockCount: 1, weight: Float32Array.of(2, 2), coreCount: 1, pre: null },
  };
}

function scoreRequest() {
  const ones = Float32Array.of(1);
  return {
    ...{ query: new Float32Array(12).fill(1), tokenCount: 1, groupCount: 1, groupOfHead: Uint32Array.of(0) },
    ...{ collapse: { row: ones, column: ones }, k: 2 },
  };
}

function expectLost(result: PromiseSettledResult<unknown>): void {
  expect(result.status).toBe('rejected');
  if (result.status !== 'rejected') return;
  expect(result.reason).toBeInstanceOf(OperatingError);
  expect(result.reason).toMatchObject({ code: 'DEVICE_LOST', retriable: true });
}
