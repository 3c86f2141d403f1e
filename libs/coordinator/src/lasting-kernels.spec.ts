import { ManualClock } from '@ultramem/environment';
import { createReferenceKernels, type Kernels, memoryTensor } from '@ultramem/kernels';
import { kernelConformance } from '@ultramem/kernels/conformance';
import { codedError } from '@ultramem/protocol';
import { describe, expect, it } from 'vitest';
import { type DeviceEvent, lastingKernels } from './lasting-kernels.ts';

const weight = memoryTensor('weight', 'F32', [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6));
const x = Float32Array.of(1, 1, 1);
const PRODUCT = Float32Array.of(6, 15);
const WHOLE = { start: 0, end: 2 };
const lostError = { code: 'DEVICE_LOST', retriable: true };

/** Plain kernels on a device that can be lost: then products and loads fail. */
function losable() {
  const good = createReferenceKernels();
  let isLost = false;
  const device = { loads: 0, isClosed: false, gate: Promise.resolve() };
  const refuse = () => {
    if (isLost) throw codedError('DEVICE_LOST', 'the device was lost; expected it; open another');
  };
  const kernels: Kernels = {
    ...good,
    loadMatrix: async (...all) => {
      refuse();
      device.loads++;
      return good.loadMatrix(...all);
    },
    matmul: async (...all) => {
      await device.gate;
      refuse();
      return good.matmul(...all);
    },
    close: async () => {
      device.isClosed = true;
    },
  };
  const lose = () => {
    isLost = true;
  };
  return Object.assign(device, { kernels, lose });
}

/** @param reopen by default another device that can be lost */
function startDevices(reopen?: () => Promise<Kernels>) {
  const clock = new ManualClock();
  const devices = [losable()];
  const events: DeviceEvent[] = [];
  const kernels = lastingKernels({
    kernels: devices[0]?.kernels ?? createReferenceKernels(),
    reopenKernels:
      reopen ??
      (async () => {
        const device = losable();
        devices.push(device);
        return device.kernels;
      }),
    clock,
    onEvent: (event) => void events.push(event),
  });
  return { clock, devices, events, kernels, lose: () => devices.at(-1)?.lose() };
}

describe('kernels that have lost a device', async () => {
  const { kernels, lose } = startDevices();
  lose();
  await kernels.loadMatrix(weight).catch(() => {});
  for (const { name, run } of kernelConformance()) it(name, () => run(kernels));
});

describe('a lost device', () => {
  it('fails the calls that meet it; the next ones find another with the tables of before', async () => {
    const { devices, events, kernels, lose } = startDevices();
    const [matrix, gone] = await Promise.all([kernels.loadMatrix(weight), kernels.loadMatrix(weight)]);
    const values = await kernels.loadValues(weight, WHOLE, { start: 0, end: 3 });
    gone.release();
    expect(await kernels.matmul(matrix, x, 1, null)).toEqual(PRODUCT);
    lose();
    const met = [1, 2].map(() => kernels.matmul(matrix, x, 1, null));
    for (const result of await Promise.allSettled(met))
      expect(result).toMatchObject({ status: 'rejected', reason: lostError });
    const next = [1, 2].map(() => kernels.matmul(matrix, x, 1, null));
    expect(await Promise.all(next)).toEqual([PRODUCT, PRODUCT]);
    expect(devices.map(({ loads, isClosed }) => ({ loads, isClosed }))).toEqual([
      { loads: 2, isClosed: true },
      { loads: 1, isClosed: false },
    ]);
    expect(events).toEqual([
      { kind: 'device-lost', reason: 'the device was lost', pauseMs: 0 },
      { kind: 'device-reopened', tables: 2, elapsedMs: 0 },
    ]);
    expect([matrix.residentBytes, values.fullWidth]).toEqual([24, 3]);
    await kernels.close();
    expect(devices[1]?.isClosed).toBe(true);
  });

  it('is closed when the calls on it have ended, and only then is another opened', async () => {
    const { devices, kernels, lose } = startDevices();
    const matrix = await kernels.loadMatrix(weight);
    let open = () => {};
    if (devices[0])
      devices[0].gate = new Promise((resolve) => {
        open = resolve;
      });
    const waiting = kernels.matmul(matrix, x, 1, null);
    lose();
    await expect(kernels.loadMatrix(weight)).rejects.toMatchObject(lostError);
    const next = kernels.matmul(matrix, x, 1, null);
    await new Promise((resolve) => setImmediate(resolve));
    expect([devices.length, devices[0]?.isClosed]).toEqual([1, false]);
    open();
    await expect(waiting).rejects.toMatchObject(lostError);
    expect(await next).toEqual(PRODUCT);
    expect([devices.length, devices[0]?.isClosed]).toEqual([2, true]);
  });

  it('that is lost again and again is replaced at growing intervals, until one goes well', async () => {
    const { clock, devices, events, kernels, lose } = startDevices();
    const matrix = await kernels.loadMatrix(weight);
    const pausesMs = [0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000];
    for (const pauseMs of pausesMs) {
      lose();
      await expect(kernels.matmul(matrix, x, 1, null)).rejects.toMatchObject(lostError);
      expect(events.at(-1)).toMatchObject({ kind: 'device-lost', pauseMs });
      const opened = devices.length;
      if (pauseMs > 0) {
        await clock.advance(pauseMs - 1);
        await expect(kernels.matmul(matrix, x, 1, null)).rejects.toMatchObject({
          ...lostError,
          message: expect.stringMatching(/^[^;]+; [^;]+; ask again in 1 s$/),
        });
        expect(devices).toHaveLength(opened);
        await clock.advance(1);
      }
      expect(await kernels.matmul(matrix, x, 1, null)).toEqual(PRODUCT);
      expect(devices).toHaveLength(opened + 1);
    }
    await clock.advance(60_000);
    lose();
    await expect(kernels.matmul(matrix, x, 1, null)).rejects.toMatchObject(lostError);
    expect(await kernels.matmul(matrix, x, 1, null)).toEqual(PRODUCT);
  });

  it('without another to be had is looked for again after a pause', async () => {
    let isThere = false;
    const { clock, devices, events, kernels, lose } = startDevices(async () => {
      if (!isThere) throw codedError('BACKEND_UNAVAILABLE', 'no GPU; expected one; plug it in');
      return createReferenceKernels();
    });
    const matrix = await kernels.loadMatrix(weight);
    lose();
    await expect(kernels.matmul(matrix, x, 1, null)).rejects.toMatchObject(lostError);
    await expect(kernels.matmul(matrix, x, 1, null)).rejects.toMatchObject({
      ...lostError,
      cause: { code: 'BACKEND_UNAVAILABLE' },
    });
    expect(events.at(-1)).toEqual({ kind: 'device-lost', reason: 'no GPU', pauseMs: 1_000 });
    isThere = true;
    await clock.advance(1_000);
    expect(await kernels.matmul(matrix, x, 1, null)).toEqual(PRODUCT);
    expect(devices[0]?.isClosed).toBe(true);
  });

  it('that is lost while it loads the tables is given up like any other', async () => {
    const second = losable();
    second.lose();
    const spares = [second, losable()];
    const { clock, kernels, lose } = startDevices(async () => spares.shift()?.kernels ?? never());
    const matrix = await kernels.loadMatrix(weight);
    lose();
    for (const _ of [1, 2]) await expect(kernels.matmul(matrix, x, 1, null)).rejects.toMatchObject(lostError);
    expect(second.isClosed).toBe(true);
    await clock.advance(1_000);
    expect(await kernels.matmul(matrix, x, 1, null)).toEqual(PRODUCT);
  });
});

it('kernels without a way to open others are left as they are', () => {
  const kernels = createReferenceKernels();
  expect(lastingKernels({ kernels, clock: new ManualClock(), onEvent: never })).toBe(kernels);
});

function never(): never {
  throw new Error('not expected');
}
