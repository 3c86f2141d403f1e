import { createReferenceKernels, type Kernels, memoryTensor, type SelectRequest } from '@ultramem/kernels';
import { beforeAll, describe, expect, it } from 'vitest';
import { numbers } from '../test/numbers.ts';
import { whyAbsent } from './binding.ts';
import { createTensorflowKernels } from './tensorflow-kernels.ts';

const absent = whyAbsent();
/** As `gpu:0`, to run these cases on a graphics card. */
const device = process.env.ULTRAMEM_TENSORFLOW_DEVICE ?? 'cpu';
const [HEADS, GROUPS, SIDES] = [3, 2, 2];
/** Weight of the second rank where it is the opposite of the first; no power of two, so that no two scores are equal. */
const OPPOSITE = 1.3;

interface Setup {
  what: string;
  keyCount: number;
  width: number;
  rank: number;
  k: number;
  tokenCount: number;
  keys?: 'normal' | 'cancelling' | 'nearly equal' | 'opposite ranks';
  cores?: 'normal' | 'cancelling' | 'none';
  scale?: number;
}

const BASE: Setup = { what: 'many keys', keyCount: 1616, width: 96, rank: 2, k: 80, tokenCount: 12 };

const SETUPS: Setup[] = [
  BASE,
  { ...BASE, what: 'an odd width, rank 3', keyCount: 900, width: 67, rank: 3, k: 30 },
  { ...BASE, what: 'rank 1', keyCount: 300, rank: 1, k: 9, tokenCount: 30 },
  { ...BASE, what: 'Memory+', keyCount: 300, rank: 1, cores: 'none' },
  // Of all keys, so that only the rounding is in doubt; of some, so that the choice is too.
  { ...BASE, what: 'all of keys whose products cancel', keyCount: 40, width: 301, k: 40, keys: 'cancelling' },
  {
    ...BASE,
    what: 'some of keys whose products cancel',
    keyCount: 400,
    width: 301,
    k: 20,
    keys: 'cancelling',
  },
  { ...BASE, what: 'keys that differ by less than their scores', keyCount: 90, k: 80, keys: 'nearly equal' },
  { ...BASE, what: 'ranks that cancel', keyCount: 400, k: 20, keys: 'opposite ranks' },
  { ...BASE, what: 'cores that cancel', keyCount: 200, cores: 'cancelling' },
  { ...BASE, what: 'tiny scores', keyCount: 500, k: 20, scale: 1e-22 },
  { ...BASE, what: 'scores beyond f32', keyCount: 60, rank: 1, k: 8, scale: 1e19 },
];

describe.skipIf(absent !== null)(
  `selections with the bits of the reference${absent === null ? '' : ` (skipped: ${absent.remedy})`}`,
  () => {
    const reference = createReferenceKernels();
    let tensorflow: Kernels;
    beforeAll(async () => {
      tensorflow = await createTensorflowKernels({ device });
    });

    it.each(SETUPS)('$what', async (setup) => {
      const { keyCount, width, rank } = setup;
      const { keys, request } = inputs(setup);
      const source = memoryTensor('keys', 'F32', [HEADS, SIDES, keyCount, width, rank], keys);
      const outcome = async (kernels: Kernels) => {
        const table = await kernels.loadKeys(source, { start: 0, end: keyCount }, null);
        const candidates = await kernels.scoreKeys(table, request);
        const selection = await kernels.select(table, request).catch((error) => error.code);
        table.release();
        return { candidates, selection };
      };
      expect(await outcome(tensorflow)).toEqual(await outcome(reference));
    });
  },
);

function inputs(setup: Setup): { keys: Float32Array; request: SelectRequest } {
  const { keyCount, width, rank, k, tokenCount, scale = 1 } = setup;
  const { below, normal, normals } = numbers(12);
  const keys = normals(HEADS * SIDES * keyCount * width * rank, scale);
  const query = normals(tokenCount * GROUPS * SIDES * width, scale);
  const at = (key: number, c: number, r: number) => (key * width + c) * rank + r;
  for (let key = 0; key < HEADS * SIDES * keyCount; key++)
    for (let r = 0; r < rank; r++)
      if (setup.keys === 'cancelling')
        for (let c = 0; c + 1 < width; c += 5) {
          const huge = 2 ** (20 + below(8)) * (1 + below(1024) / 1024);
          keys[at(key, c, r)] = huge;
          keys[at(key, c + 1, r)] = -huge;
        }
      else if (setup.keys === 'nearly equal')
        for (let c = 0; c < width; c++)
          keys[at(key, c, r)] = c % 7 === 0 ? 1e-8 * normal() : ((key % 9) + c + r) / 16;
      else if (setup.keys === 'opposite ranks' && r > 0)
        for (let c = 0; c < width; c++)
          keys[at(key, c, r)] = (-keys[at(key, c, 0)] / OPPOSITE) * (1 + 2 ** -22 * normal());
  if (setup.keys === 'cancelling') query.fill(1);
  // What is left of opposite ranks is smaller than the rounding of each.
  const opposite = Float32Array.from({ length: HEADS * rank }, (_, i) => (i % rank === 0 ? 1 : OPPOSITE));
  const vectors = { row: normals(HEADS * rank), column: normals(HEADS * rank) };
  return {
    keys,
    request: {
      ...{ query, tokenCount, groupCount: GROUPS, groupOfHead: Uint32Array.of(1, 0, 1), k },
      collapse: setup.keys === 'opposite ranks' ? { row: opposite, column: opposite } : vectors,
      ...coresOf(setup, normals),
      addressing: { geometry: oneBlock(keyCount), layer: 0, shuffle: null },
    },
  };
}

/** Cores that cancel: the third is the negative sum of the others, so that rounding is a good part of the last one's small scores. */
function coresOf(
  { cores = 'normal', rank }: Setup,
  normals: (length: number, size?: number) => Float32Array,
) {
  const size = HEADS * rank * rank;
  if (cores === 'none') return { cores: null, coreCount: 1 };
  if (cores === 'normal') return { cores: normals(2 * size), coreCount: 2 };
  const two = normals(2 * size).map((value) => Math.round(value * 1024) / 1024);
  const third = Float32Array.from({ length: size }, (_, i) => -(two[i] + two[size + i]));
  return { cores: Float32Array.of(...two, ...third, ...normals(size, 1e-14)), coreCount: 4 };
}

/** One block of every virtual index. */
function oneBlock(keyCount: number) {
  const rows = keyCount ** 2;
  return { windowRows: rows, windowStride: 0, tableRows: rows, virtualBlocks: 1, poolBlocks: 1 };
}
