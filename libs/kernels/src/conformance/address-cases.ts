import { createRandom } from '@ultramem/environment';
import { present } from '@ultramem/invariant';
import {
  type MemoryGeometry,
  memoryGeometry,
  parseModelConfig,
  type ShuffleIndex,
  virtualValueCount,
} from '@ultramem/ultramem';
import type { AddressRequest } from '../selection.ts';
import { type ConformanceCase, expectAssertion, expectSame } from './checks.ts';

/** 48 rows, which three layers share by windows of 36 that begin at 0, 16 and 32; four virtual blocks. */
const SHARED = present(
  memoryGeometry(
    parseModelConfig({
      ...{ n_layers: 3, mem_knum: 4, mem_share_ratio: 1, mem_knn: 4 },
      ...{ mem_key_expand_time: 2, mem_value_expand_time: 4 },
    }),
  ),
  'the model has a memory',
);

const CASES: [what: string, Partial<MemoryGeometry>, layer: number, entryCount: number, shuffled: boolean][] =
  [
    ['the first layer', {}, 0, 300, true],
    ['a window that goes on at the first row', {}, 2, 300, true],
    ['blocks that are summed anyway', { poolBlocks: 1 }, 1, 300, true],
    ['no shuffle', {}, 1, 300, false],
    ['many winners', {}, 1, 9000, true],
    ['one winner', {}, 1, 1, true],
    ['no winners', {}, 1, 0, true],
  ];

export function addressCases(): ConformanceCase[] {
  return [
    ...CASES.map(
      ([what, changes, layer, entryCount, shuffled]): ConformanceCase => ({
        name: `address: ${what}`,
        run: async (kernels) => {
          const request = addressRequest({ ...SHARED, ...changes }, layer, entryCount, shuffled);
          const want = naiveAddresses(request);
          const got = await kernels.address(request);
          expectSame('the slots', got.slot, want.slot);
          expectSame('the blocks', got.block, want.block);
        },
      }),
    ),
    {
      name: 'address: an index outside the shuffle is an assertion',
      run: async (kernels) => {
        for (const shuffled of [true, false])
          for (const index of [virtualValueCount(SHARED), -1, Number.NaN]) {
            const request = addressRequest(SHARED, 0, 40, shuffled);
            request.virtualIndex[17] = index;
            await expectAssertion(() => kernels.address(request));
          }
      },
    },
  ];
}

function addressRequest(
  geometry: MemoryGeometry,
  layer: number,
  entryCount: number,
  shuffled: boolean,
): AddressRequest {
  const random = createRandom(36);
  const count = virtualValueCount(geometry);
  const shuffle = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = random.uint32() % (i + 1);
    [shuffle[i], shuffle[j]] = [shuffle[j], shuffle[i]];
  }
  // From the last one down, and again.
  const virtualIndex = Float64Array.from({ length: entryCount }, (_, i) => count - 1 - (i % count));
  return { geometry, layer, virtualIndex, shuffle: shuffled ? shuffle : null };
}

/** As SEMANTICS 4.5 and 5.4 write it, in whole numbers. */
function naiveAddresses({ geometry, layer, virtualIndex, shuffle }: AddressRequest) {
  const { windowRows, windowStride, tableRows, poolBlocks } = geometry;
  const whole = [...virtualIndex].map((z) => BigInt(shuffledTo(shuffle, z)));
  const [window, table] = [BigInt(windowRows), BigInt(tableRows)];
  return {
    slot: Uint32Array.from(whole, (z) => Number(((z % window) + BigInt(layer * windowStride)) % table)),
    block: Uint8Array.from(whole, (z) => (poolBlocks > 1 ? Number(z / window) : 0)),
  };
}

function shuffledTo(shuffle: ShuffleIndex | null, z: number): number {
  return shuffle === null ? z : shuffle[z];
}
