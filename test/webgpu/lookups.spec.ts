import { createRandom } from '@ultramem/environment';
import {
  createReferenceKernels,
  memoryTensor,
  type PoolRequest,
  type SelectRequest,
} from '@ultramem/kernels';
import { createWebgpuKernels, requiredLimits, type WebgpuKernels } from '@ultramem/kernels-webgpu';
import { openWebgpuDevice, probeWebgpu, type WebgpuDevice } from '@ultramem/webgpu-device';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const probe = await probeWebgpu();
const title = probe.available ? `on ${probe.detail}` : `without an adapter: ${probe.remedy}`;
const reference = createReferenceKernels();

describe.skipIf(!probe.available)(`lookups ${title}`, () => {
  let opened: WebgpuDevice;
  let kernels: WebgpuKernels;
  beforeAll(async () => {
    opened = await openWebgpuDevice(requiredLimits);
    kernels = createWebgpuKernels(opened.device);
  });
  afterAll(() => opened.close());

  it.each(Array.from({ length: 24 }, (_, i) => i + 1))(
    'of seed %d choose and score as the reference',
    async (seed) => {
      const { keys, whole, request } = selection(seed);
      const own = await kernels.loadKeys(keys, whole, null);
      const theirs = await reference.loadKeys(keys, whole, null);
      expect(await kernels.scoreKeys(own, request)).toEqual(await reference.scoreKeys(theirs, request));
      expect(await kernels.select(own, request)).toEqual(await reference.select(theirs, request));
      own.release();
    },
  );

  it('tell twins apart whose order is lost in the rounding of the device', async () => {
    const [keyCount, width, tokenCount] = [80, 200, 40];
    const floats = normals(1, 2 * keyCount * width);
    // Each second key is its neighbour with every feature moved by a bit or two.
    for (let at = 0; at < floats.length; at++)
      if (Math.floor(at / width) % 2 === 1) floats[at] = floats[at - width] * (1 + ((at % 5) - 2) * 2 ** -24);
    const keys = memoryTensor('keys', 'F32', [1, 2, keyCount, width], floats);
    const ones = Float32Array.of(1);
    const request = {
      ...{
        query: normals(2, tokenCount * 2 * width),
        tokenCount,
        groupCount: 1,
        groupOfHead: Uint32Array.of(0),
      },
      ...{ collapse: { row: ones, column: ones }, k: 5 }, // odd: the last one's twin is left out
    };
    const whole = { start: 0, end: keyCount };
    const own = await kernels.loadKeys(keys, whole, null);
    const theirs = await reference.loadKeys(keys, whole, null);
    expect(await kernels.scoreKeys(own, request)).toEqual(await reference.scoreKeys(theirs, request));
    own.release();
  });

  it('side by side and with other vectors u and v do not disturb each other', async () => {
    const { keys, whole, request } = selection(5);
    const own = await kernels.loadKeys(keys, whole, null);
    const theirs = await reference.loadKeys(keys, whole, null);
    const turned = {
      row: request.collapse.row.map((x) => -x),
      column: request.collapse.column.map((x) => x / 3),
    };
    const requests = [request, { ...request, collapse: turned }, request, { ...request, collapse: turned }];
    const found = await Promise.all(requests.map((one) => kernels.scoreKeys(own, one)));
    for (const [i, one] of requests.entries())
      expect(found[i]).toEqual(await reference.scoreKeys(theirs, one));
    own.release();
  });

  it('of any number leave no buffers behind', async () => {
    const { keys, whole, request } = selection(3);
    const values = memoryTensor('values', 'BF16', [64, 10], normals(9, 640));
    const pool: PoolRequest = {
      ...{ tokenCount: 2, entryStart: Uint32Array.of(0, 3, 5), slot: Uint32Array.of(1, 9, 63, 4, 4) },
      ...{ block: new Uint8Array(5), blockCount: 1, weight: normals(8, 5), coreCount: 1, pre: null },
    };
    const lookUp = async () => {
      const keyTable = await kernels.loadKeys(keys, whole, null);
      const table = await kernels.loadValues(values, { start: 0, end: 64 }, { start: 0, end: 10 });
      for (let i = 0; i < 20; i++) {
        await kernels.select(keyTable, request);
        await kernels.pool(table, pool);
        await kernels.dotRows(table, { ...pool, query: normals(7, 20) });
      }
      const held = kernels.bufferCount;
      keyTable.release();
      table.release();
      table.release();
      return { held, left: kernels.bufferCount };
    };
    const first = await lookUp();
    expect(first.left).toBeLessThan(first.held);
    expect(await lookUp()).toEqual(first);
  });

  it('give a million small rows as well as a few long ones', async () => {
    const rowCount = 1_000_000;
    const source = memoryTensor(
      'values',
      'F16',
      [rowCount, 1],
      Float32Array.from({ length: rowCount }, (_, i) => i % 2048),
    );
    const table = await kernels.loadValues(source, { start: 0, end: rowCount }, { start: 0, end: 1 });
    const slot = Uint32Array.from({ length: 70_000 }, (_, i) => (i * 14) % rowCount);
    // A token per entry: more groups than one dimension of a dispatch takes.
    const pooled = await kernels.pool(table, {
      ...{
        tokenCount: slot.length,
        entryStart: Uint32Array.from({ length: slot.length + 1 }, (_, i) => i),
        slot,
      },
      ...{ block: new Uint8Array(slot.length), blockCount: 1, weight: new Float32Array(slot.length).fill(2) },
      ...{ coreCount: 1, pre: null },
    });
    expect(pooled).toEqual(Float32Array.from(slot, (row) => 2 * (row % 2048)));
    table.release();
  });
});

/** Keys of any shape, some of them equal or nearly so, and queries of any scale. */
function selection(seed: number) {
  const random = createRandom(seed);
  const among = <T>(...values: T[]): T => values[random.uint32() % values.length] as T;
  const [rank, width, headCount] = [among(1, 2, 3), among(3, 16, 65, 200), among(1, 2, 4)];
  const [keyCount, k, tokenCount] = [among(60, 150, 400), among(1, 4, 20), among(1, 3, 9)];
  const [coreCount, distinct] = [among(1, 2), among(keyCount, keyCount, 11)];
  const floats = normals(seed + 100, headCount * 2 * keyCount * width * rank, among(1, 1e-20, 1e15));
  const rowLength = width * rank;
  for (let row = 0; row < headCount * 2 * keyCount; row++) {
    const key = row % keyCount;
    const twin = (row - key + (key % distinct)) * rowLength;
    const nudge = 1 + among(0, 1e-7, -1e-6);
    if (key >= distinct)
      for (let c = 0; c < rowLength; c++) floats[row * rowLength + c] = floats[twin + c] * nudge;
  }
  const request: SelectRequest = {
    ...{
      query: normals(seed + 200, tokenCount * 2 * width, among(1, 1e-12, 1e12)),
      tokenCount,
      groupCount: 1,
      k,
    },
    ...{ groupOfHead: new Uint32Array(headCount), coreCount },
    collapse: { row: normals(seed + 300, headCount * rank), column: normals(seed + 400, headCount * rank) },
    cores: normals(seed + 500, coreCount * headCount * rank * rank),
    addressing: { geometry: oneBlock(keyCount), layer: 0, shuffle: null },
  };
  const keys = memoryTensor('keys', 'F32', [headCount, 2, keyCount, width, rank], floats);
  return { keys, whole: { start: 0, end: keyCount }, request };
}

function normals(seed: number, length: number, scale = 1): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length }, () => scale * random.normal());
}

/** One block of every virtual index. */
function oneBlock(keyCount: number) {
  const rows = keyCount ** 2;
  return { windowRows: rows, windowStride: 0, tableRows: rows, virtualBlocks: 1, poolBlocks: 1 };
}
