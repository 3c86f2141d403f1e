import { createRandom } from '@ultramem/environment';
import { createReferenceKernels, type GridRequest } from '@ultramem/kernels';
import { createWebgpuKernels, requiredLimits, type WebgpuKernels } from '@ultramem/kernels-webgpu';
import { openWebgpuDevice, probeWebgpu, type WebgpuDevice } from '@ultramem/webgpu-device';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const probe = await probeWebgpu();
const title = probe.available ? `on ${probe.detail}` : `without an adapter: ${probe.remedy}`;
const reference = createReferenceKernels();
const BASE = { tokenCount: 9, headCount: 2, perSide: 24, rank: 2, coreCount: 2, scale: 1, coreScale: 1 };

describe.skipIf(!probe.available)(`grids ${title}`, () => {
  let opened: WebgpuDevice;
  let kernels: WebgpuKernels;
  beforeAll(async () => {
    opened = await openWebgpuDevice(requiredLimits);
    kernels = createWebgpuKernels(opened.device, { gridCellsMin: 0 });
  });
  afterAll(() => opened.close());

  it.each([
    BASE,
    { ...BASE, rank: 1, coreCount: 1 },
    { ...BASE, rank: 5, coreCount: 3, headCount: 3 },
    { ...BASE, perSide: 6 },
    { ...BASE, perSide: 1 },
    { ...BASE, perSide: 150, tokenCount: 3 },
    { ...BASE, scale: 1e30, coreScale: 1e30 },
    { ...BASE, scale: 1e-40, coreScale: 1e-40 },
    { ...BASE, rank: 1, coreCount: 0 },
    { ...BASE, rank: 1, coreCount: 0, scale: 1e38 },
    { ...BASE, rank: 1, coreCount: 0, scale: 1e-42 },
  ])('of random scores have the best cells of the reference: %j', async (setup) => {
    for (let seed = 1; seed <= 4; seed++) await expectAsReference(grid(seed, setup));
  });

  it('in which rows and columns are there many times have those with the smaller position', async () => {
    for (const [seed, distinct] of [1, 2, 3, 7, 20].entries()) {
      const request = grid(seed, { ...BASE, tokenCount: 6 });
      const { refined, perSide } = request.candidates;
      // Some tokens only: those beside them go through the device.
      for (let i = 0; i < refined.length / 2; i++) {
        const candidate = Math.floor(i / 2);
        const twin = candidate - (candidate % perSide) + (candidate % distinct);
        refined[i] = refined[2 * twin + (i % 2)];
      }
      await expectAsReference(request);
    }
  });

  it('tell twins apart whose order is lost in the rounding of the device', async () => {
    const setup = { ...BASE, tokenCount: 60, perSide: 25, rank: 5 }; // odd: the last one's twin is left out
    const request = grid(3, setup);
    const { refined } = request.candidates;
    // Each second candidate is its neighbour with every score moved by a bit or two.
    for (let at = setup.rank; at < refined.length; at++)
      if (Math.floor(at / setup.rank) % 2 === 1)
        refined[at] = refined[at - setup.rank] * (1 + ((at % 5) - 2) * 2 ** -24);
    await expectAsReference(request);
  });

  it('whose cores cancel have the order that the rounding of the reference gives', async () => {
    const request = grid(1, BASE);
    const { cores } = request;
    if (cores !== null)
      for (let i = 0; i < cores.length / 2; i++)
        cores[cores.length / 2 + i] = -cores[i] * (1 + (i % 2) * 2 ** -23);
    await expectAsReference(request);
    const zero = grid(2, { ...BASE, scale: 0 });
    zero.candidates.refined[1] = -0;
    await expectAsReference(zero);
  });

  it('of more tokens than one command list takes are put together again', async () => {
    const narrow = createWebgpuKernels((await openWebgpuDevice(requiredLimits)).device, {
      ...{ gridCellsMin: 0, partBytes: 3 * 4 * BASE.headCount * BASE.perSide ** 2 },
    });
    for (const tokenCount of [3, 4, 10]) {
      const request = grid(tokenCount, { ...BASE, tokenCount });
      expect(await narrow.selectGrid(request)).toEqual(await reference.selectGrid(request));
    }
    await narrow.close();
  });

  it('with an infinite score are ranked, with a NaN refused', async () => {
    const request = grid(1, { ...BASE, rank: 1, coreCount: 0 });
    request.candidates.refined[BASE.perSide * 5] = Number.POSITIVE_INFINITY;
    await expectAsReference(request);
    request.candidates.refined[3] = Number.NaN;
    await expect(kernels.selectGrid(request)).rejects.toMatchObject({ code: 'NON_FINITE_SCORE' });
  });

  async function expectAsReference(request: GridRequest) {
    expect(await kernels.selectGrid(request)).toEqual(await reference.selectGrid(request));
  }
});

function grid(seed: number, setup: typeof BASE): GridRequest {
  const { tokenCount, headCount, perSide, rank, coreCount, scale, coreScale } = setup;
  const random = createRandom(seed);
  const normals = (length: number, scale: number) =>
    Float32Array.from({ length }, () => scale * random.normal());
  const count = tokenCount * headCount * 2 * perSide;
  return {
    candidates: {
      ...{ tokenCount, perSide },
      index: Uint32Array.from({ length: count }, (_, i) => (i * 7) % 1000),
      refined: normals(count * rank, scale),
    },
    ...{ headCount, keyCount: 1000, rank, coreCount: Math.max(1, coreCount) },
    cores: coreCount === 0 ? null : normals(coreCount * headCount * rank * rank, coreScale),
  };
}
