import { SIDES } from '@ultramem/ultramem';
import type { SelectRequest } from '../selection.ts';
import { type ConformanceCase, expectAssertion, expectFailure, expectSame } from './checks.ts';
import { normals, table } from './inputs.ts';

interface SelectSetup {
  what: string;
  tokenCount: number;
  groupOfHead: number[];
  keyCount: number;
  width: number;
  rank: number;
  coreCount: number;
  k: number;
  cores: boolean;
  /** Keys with a larger number repeat those before, so that whole rows and columns of the grid are tied. */
  distinctKeys?: number;
  /** Distance of repeated keys from the key that they repeat. */
  nudge?: number;
  queryScale?: number;
}

const BASE: SelectSetup = {
  ...{ what: 'base', tokenCount: 5, groupOfHead: [0, 0], keyCount: 150, width: 24 },
  ...{ rank: 2, coreCount: 2, k: 12, cores: true },
};

const SETUPS: SelectSetup[] = [
  { ...BASE, what: 'rank 2, 2 cores' },
  { ...BASE, what: 'rank 1, 1 core, odd width', rank: 1, coreCount: 1, width: 13 },
  { ...BASE, what: 'rank 3, 4 cores, 3 heads', rank: 3, coreCount: 4, groupOfHead: [0, 1, 0] },
  { ...BASE, what: 'k = 1', k: 1 },
  { ...BASE, what: 'k = all keys', keyCount: 17, k: 17 },
  { ...BASE, what: 'one key', keyCount: 1, k: 1 },
  { ...BASE, what: 'no tokens', tokenCount: 0 },
  { ...BASE, what: 'many tokens', tokenCount: 150 },
  { ...BASE, what: 'wide keys, large k', keyCount: 700, width: 192, k: 80, tokenCount: 3 },
  { ...BASE, what: 'every key there twelve times', distinctKeys: 13 },
  { ...BASE, what: 'near-ties one bit apart', distinctKeys: 13, nudge: 1e-7 },
  { ...BASE, what: 'near-ties below what int8 tells apart', distinctKeys: 13, nudge: 1e-4 },
  { ...BASE, what: 'a zero query', queryScale: 0 },
  { ...BASE, what: 'huge queries', queryScale: 1e30 },
  { ...BASE, what: 'tiny queries', queryScale: 1e-38 },
  { ...BASE, what: 'Memory+', rank: 1, coreCount: 1, cores: false },
  { ...BASE, what: 'Memory+, ties', rank: 1, coreCount: 1, cores: false, distinctKeys: 10 },
];

export function selectCases(): ConformanceCase[] {
  return [
    ...SETUPS.map(
      (setup): ConformanceCase => ({
        name: `select: the grid of the candidates, bit for bit: ${setup.what}`,
        run: async (kernels) => {
          const { keys, request } = selectInputs(setup);
          const handle = await kernels.loadKeys(keys, { start: 0, end: setup.keyCount }, null);
          const { coreCount, cores, addressing, ...score } = request;
          const want = await kernels.selectGrid({
            candidates: await kernels.scoreKeys(handle, score),
            ...{ headCount: setup.groupOfHead.length, keyCount: setup.keyCount, rank: setup.rank },
            ...{ cores, coreCount },
          });
          const { selection: got, addresses } = await kernels.select(handle, request);
          expectSame(
            'tokenCount and perToken',
            [got.tokenCount, got.perToken],
            [want.tokenCount, want.perToken],
          );
          expectSame('the virtual index', got.virtualIndex, want.virtualIndex);
          expectSame('the ranking score', got.rankScore, want.rankScore);
          expectSame('the score', got.scores, want.scores);
          const places = await kernels.address({ ...addressing, virtualIndex: want.virtualIndex });
          expectSame('the slot', addresses.slot, places.slot);
          expectSame('the block', addresses.block, places.block);
          handle.release();
        },
      }),
    ),
    {
      name: 'select: an index outside the shuffle is an assertion',
      run: async (kernels) => {
        const { keys, request } = selectInputs(BASE);
        const handle = await kernels.loadKeys(keys, { start: 0, end: BASE.keyCount }, null);
        const shuffle = new Uint32Array(BASE.keyCount ** 2).fill(BASE.keyCount ** 2);
        const addressing = { ...request.addressing, shuffle };
        await expectAssertion(() => kernels.select(handle, { ...request, addressing }));
        handle.release();
      },
    },
    {
      name: 'select: a NaN in a query is NON_FINITE_SCORE',
      run: async (kernels) => {
        const { keys, request } = selectInputs(BASE);
        const handle = await kernels.loadKeys(keys, { start: 0, end: BASE.keyCount }, null);
        const query = request.query.slice();
        query[query.length - 1] = Number.NaN;
        await expectFailure('NON_FINITE_SCORE', () => kernels.select(handle, { ...request, query }));
      },
    },
  ];
}

function selectInputs(setup: SelectSetup) {
  const { tokenCount, groupOfHead, keyCount, width, rank, coreCount, k } = setup;
  const headCount = groupOfHead.length;
  const groupCount = Math.max(...groupOfHead) + 1;
  const shape = [headCount, SIDES, keyCount, width, rank];
  const floats = normals(31, headCount * SIDES * keyCount * width * rank);
  const rowLength = width * rank;
  const distinct = setup.distinctKeys ?? keyCount;
  for (let list = 0; list < headCount * SIDES; list++)
    for (let key = distinct; key < keyCount; key++)
      for (let c = 0; c < rowLength; c++) {
        const original = floats[(list * keyCount + (key % distinct)) * rowLength + c];
        // Some steps up, some down, so that the order of keys and that of scores disagree.
        const step = (setup.nudge ?? 0) * (((key * 7) % 5) - 2);
        floats[(list * keyCount + key) * rowLength + c] = original * (1 + step);
      }
  const request: SelectRequest = {
    query: normals(32, tokenCount * groupCount * SIDES * width, setup.queryScale),
    ...{ tokenCount, groupCount, groupOfHead: Uint32Array.from(groupOfHead), k },
    collapse: { row: normals(33, headCount * rank), column: normals(34, headCount * rank) },
    cores: setup.cores ? normals(35, coreCount * headCount * rank * rank) : null,
    coreCount,
    addressing: {
      geometry: windowsOf(keyCount),
      layer: 1,
      shuffle: setup.cores ? turned(keyCount ** 2) : null,
    },
  };
  return { keys: table('F32', shape, floats).source, request };
}

/** One block of every virtual index, of a table that goes on at its first row. */
function windowsOf(keyCount: number) {
  const windowRows = keyCount ** 2;
  return { windowRows, windowStride: windowRows, tableRows: 2 * windowRows, virtualBlocks: 1, poolBlocks: 1 };
}

function turned(length: number): Uint32Array {
  return Uint32Array.from({ length }, (_, i) => length - 1 - i);
}
