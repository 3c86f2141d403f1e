import { FLOAT_DTYPES, type FloatDType } from '@ultramem/checkpoint';
import type { DotRequest, PoolRequest } from '../kernels.ts';
import {
  type ConformanceCase,
  expectAssertion,
  expectClose,
  expectFailure,
  expectSame,
  type Truth,
} from './checks.ts';
import { bytesInside, inside, normals, table, wholes, wholesInside } from './inputs.ts';
import { naiveDots, naiveGate, naivePool } from './naive-pool.ts';

interface PoolSetup {
  what: string;
  dtype: FloatDType;
  /** Entries of each token. */
  entryCounts: number[];
  tableRows: number;
  width: number;
  rows: { start: number; end: number };
  columns: { start: number; end: number };
  blockCount: number;
  coreCount: number;
  pre: 'plain' | 'gelu' | null;
  tableScale?: number;
  weightScale?: number;
}

const BASE: PoolSetup = {
  ...{ what: 'base', dtype: 'F32', entryCounts: [5, 0, 1, 12, 3], tableRows: 50, width: 24 },
  ...{ rows: { start: 0, end: 50 }, columns: { start: 0, end: 24 }, blockCount: 4, coreCount: 2, pre: null },
};

const PRE_WIDTH = 10;

const SETUPS: PoolSetup[] = [
  ...FLOAT_DTYPES.map((dtype): PoolSetup => ({ ...BASE, what: `a ${dtype} table`, dtype })),
  { ...BASE, what: '1 core, 1 block', coreCount: 1, blockCount: 1 },
  { ...BASE, what: '4 cores', coreCount: 4 },
  { ...BASE, what: 'a core per column', coreCount: 24 },
  { ...BASE, what: '256 blocks', blockCount: 256 },
  { ...BASE, what: 'a width of one', width: 1, columns: { start: 0, end: 1 }, coreCount: 1 },
  { ...BASE, what: 'no tokens', entryCounts: [] },
  { ...BASE, what: 'tokens without entries', entryCounts: [0, 0, 0] },
  { ...BASE, what: 'a token without entries first and last', entryCounts: [0, 4, 0] },
  {
    ...BASE,
    what: 'many entries on few slots',
    entryCounts: [200],
    tableRows: 3,
    rows: { start: 0, end: 3 },
  },
  { ...BASE, what: 'a window of rows', rows: { start: 17, end: 31 } },
  { ...BASE, what: 'a window of columns across a core edge', columns: { start: 5, end: 19 }, coreCount: 4 },
  { ...BASE, what: 'a window of columns inside one core', columns: { start: 13, end: 16 } },
  ...FLOAT_DTYPES.map(
    (dtype): PoolSetup => ({
      ...{ ...BASE, what: `a rectangle of a ${dtype} table`, dtype },
      ...{ rows: { start: 7, end: 40 }, columns: { start: 3, end: 20 } },
    }),
  ),
  { ...BASE, what: 'gated by pre-values', pre: 'plain' },
  {
    ...BASE,
    what: 'gated by gelu of pre-values, rows in a window',
    pre: 'gelu',
    rows: { start: 17, end: 31 },
  },
  {
    ...BASE,
    what: 'gated, columns in a window, F16',
    pre: 'gelu',
    columns: { start: 5, end: 19 },
    dtype: 'F16',
  },
  { ...BASE, what: 'huge values', tableScale: 1e37, weightScale: 1e-2 },
  { ...BASE, what: 'overflow to infinity', tableScale: 1e38, weightScale: 1e38, entryCounts: [1, 1] },
  { ...BASE, what: 'denormal values', tableScale: 1e-39, weightScale: 1e37 },
  { ...BASE, what: 'subnormal F16 values', dtype: 'F16', tableScale: 1e-6 },
  { ...BASE, what: 'denormal BF16 values', dtype: 'BF16', tableScale: 1e-38, weightScale: 1e37 },
];

export function poolCases(): ConformanceCase[] {
  return SETUPS.map((setup) => ({
    name: `pool: ${setup.what}`,
    run: async (kernels) => {
      const inputs = poolInputs(setup);
      const values = await kernels.loadValues(inputs.values.source, setup.rows, setup.columns);
      const request: PoolRequest = {
        ...inputs.request,
        entryStart: wholesInside(inputs.request.entryStart),
        slot: wholesInside(inputs.request.slot),
        block: bytesInside(inputs.request.block),
        weight: inside(inputs.request.weight),
      };
      if (setup.pre !== null) {
        const preTable = await kernels.loadValues(inputs.pre.source, setup.rows, {
          start: 0,
          end: PRE_WIDTH,
        });
        request.pre = { table: preTable, query: inside(inputs.preQuery), activation: setup.pre === 'gelu' };
      }
      const got = await kernels.pool(values, request);
      expectClose('the pooled vector', got, wantedColumns(setup, inputs));
    },
  }));
}

export function poolRuleCases(): ConformanceCase[] {
  return [
    {
      name: 'pool: a slice of columns has the bits of the whole table',
      run: async (kernels) => {
        for (const dtype of FLOAT_DTYPES) {
          const { values, request } = poolInputs({ ...BASE, dtype, coreCount: 4 });
          const whole = await kernels.pool(
            await kernels.loadValues(values.source, BASE.rows, BASE.columns),
            request,
          );
          for (const columns of [
            { start: 0, end: 7 },
            { start: 7, end: 8 },
            { start: 8, end: 24 },
          ]) {
            const slice = await kernels.loadValues(values.source, BASE.rows, columns);
            expectSame(
              `${dtype} columns from ${columns.start}`,
              await kernels.pool(slice, request),
              whole.filter((_, i) => i % BASE.width >= columns.start && i % BASE.width < columns.end),
            );
          }
        }
      },
    },
    {
      name: 'pool: a token has the same bits alone and in any batch',
      run: async (kernels) => {
        const { values, request } = poolInputs(BASE);
        const whole = await kernels.loadValues(values.source, BASE.rows, BASE.columns);
        const together = await kernels.pool(whole, request);
        const length = BASE.blockCount * BASE.width;
        for (let t = 0; t < request.tokenCount; t++) {
          const [from, to] = [request.entryStart[t]!, request.entryStart[t + 1]!];
          const alone = await kernels.pool(whole, {
            ...request,
            tokenCount: 1,
            entryStart: Uint32Array.of(0, to - from),
            slot: request.slot.slice(from, to),
            block: request.block.slice(from, to),
            weight: request.weight.slice(from * BASE.coreCount, to * BASE.coreCount),
          });
          expectSame(`token ${t} alone`, alone, together.slice(t * length, (t + 1) * length));
        }
      },
    },
    {
      name: 'pool: slots outside the rows are SLOT_OUT_OF_RANGE, blocks above the last BLOCK_OUT_OF_RANGE',
      run: async (kernels) => {
        const { values, request } = poolInputs({ ...BASE, rows: { start: 10, end: 20 } });
        const window = await kernels.loadValues(values.source, { start: 10, end: 20 }, BASE.columns);
        for (const slot of [9, 20, 0xffffffff])
          await expectFailure('SLOT_OUT_OF_RANGE', () =>
            kernels.pool(window, { ...request, slot: withLast(request.slot, slot) }),
          );
        await expectFailure('BLOCK_OUT_OF_RANGE', () =>
          kernels.pool(window, {
            ...request,
            block: Uint8Array.from(request.block).fill(BASE.blockCount, 8),
          }),
        );
      },
    },
    {
      name: 'pool: shapes that do not fit, half a pre-value row and a released table are assertions',
      run: async (kernels) => {
        const { values, request, pre, preQuery } = poolInputs(BASE);
        const whole = await kernels.loadValues(values.source, BASE.rows, BASE.columns);
        await expectAssertion(() => kernels.pool(whole, { ...request, tokenCount: request.tokenCount - 1 }));
        await expectAssertion(() => kernels.pool(whole, { ...request, weight: request.weight.slice(1) }));
        await expectAssertion(() => kernels.pool(whole, { ...request, block: request.block.slice(1) }));
        const half = await kernels.loadValues(pre.source, BASE.rows, { start: 0, end: PRE_WIDTH / 2 });
        const query = preQuery.slice(0, preQuery.length / 2);
        await expectAssertion(() =>
          kernels.pool(whole, { ...request, pre: { table: half, query, activation: false } }),
        );
        whole.release();
        await expectAssertion(() => kernels.pool(whole, request));
      },
    },
  ];
}

export function dotCases(): ConformanceCase[] {
  return [
    ...FLOAT_DTYPES.map(
      (dtype): ConformanceCase => ({
        name: `dotRows: a rectangle of a ${dtype} table`,
        run: async (kernels) => {
          const { values, request } = poolInputs({ ...BASE, dtype, rows: { start: 10, end: 30 } });
          const query = normals(29, request.tokenCount * BASE.width);
          const whole = naiveDots(values.stored, BASE.width, request, query);
          const rectangle = await kernels.loadValues(values.source, { start: 10, end: 30 }, BASE.columns);
          const entries = {
            ...request,
            entryStart: wholesInside(request.entryStart),
            slot: wholesInside(request.slot),
          };
          expectClose(
            'the dot product',
            await kernels.dotRows(rectangle, { ...entries, query: inside(query) }),
            whole,
          );
        },
      }),
    ),
    {
      name: 'dotRows: parts of the columns add up to the whole in f64',
      run: async (kernels) => {
        const { values, request } = poolInputs(BASE);
        const query = normals(29, request.tokenCount * BASE.width);
        const sums = new Float64Array(request.slot.length);
        for (const columns of [
          { start: 0, end: 11 },
          { start: 11, end: 24 },
        ]) {
          const part = await kernels.loadValues(values.source, BASE.rows, columns);
          const partQuery = query.filter(
            (_, i) => i % BASE.width >= columns.start && i % BASE.width < columns.end,
          );
          const dots = await kernels.dotRows(part, { ...request, query: partQuery });
          if (!(dots instanceof Float64Array)) throw new Error('the dot products are not a Float64Array');
          for (let i = 0; i < sums.length; i++) sums[i]! += dots[i]!;
        }
        expectClose('the sum of the parts', sums, naiveDots(values.stored, BASE.width, request, query));
      },
    },
    {
      name: 'dotRows: no entries, slots outside the rows, a query that does not fit',
      run: async (kernels) => {
        const { values, request } = poolInputs(BASE);
        const window = await kernels.loadValues(values.source, { start: 10, end: 20 }, BASE.columns);
        const empty: DotRequest = {
          ...{ tokenCount: 1, entryStart: Uint32Array.of(0, 0), slot: new Uint32Array(0) },
          query: new Float32Array(BASE.width),
        };
        expectSame('no dot products', await kernels.dotRows(window, empty), []);
        const query = new Float32Array(request.tokenCount * BASE.width);
        const outside = { ...request, slot: Uint32Array.from(request.slot).fill(20), query };
        await expectFailure('SLOT_OUT_OF_RANGE', () => kernels.dotRows(window, outside));
        await expectAssertion(() => kernels.dotRows(window, { ...empty, query: new Float32Array(1) }));
      },
    },
  ];
}

function poolInputs(setup: PoolSetup) {
  const { tableRows, width, rows, blockCount, coreCount, dtype, entryCounts } = setup;
  const entryStart = new Uint32Array(entryCounts.length + 1);
  entryCounts.forEach((count, token) => {
    entryStart[token + 1] = entryStart[token]! + count;
  });
  const entryCount = entryStart[entryCounts.length]!;
  const request: PoolRequest = {
    tokenCount: entryCounts.length,
    entryStart,
    slot: wholes(21, entryCount, rows.end - rows.start).map((row) => rows.start + row),
    block: Uint8Array.from(wholes(22, entryCount, blockCount)),
    blockCount,
    weight: normals(23, entryCount * coreCount, setup.weightScale),
    coreCount,
    pre: null,
  };
  return {
    values: table(dtype, [tableRows, width], normals(24, tableRows * width, setup.tableScale)),
    pre: table(dtype, [tableRows, PRE_WIDTH], normals(25, tableRows * PRE_WIDTH)),
    preQuery: normals(26, request.tokenCount * PRE_WIDTH),
    request,
  };
}

/** The truth of the whole width, cut to the columns of the setup. */
function wantedColumns(
  setup: PoolSetup,
  { values, pre, preQuery, request }: ReturnType<typeof poolInputs>,
): Truth {
  const { width, columns, coreCount } = setup;
  const whole = { ...request, stored: values.stored, width };
  let truth: Truth;
  if (setup.pre === null) truth = naivePool(whole);
  else {
    const dots = naiveDots(pre.stored, PRE_WIDTH, request, preQuery);
    const gated = naiveGate(dots, request.weight, coreCount, setup.pre === 'gelu');
    truth = naivePool({ ...whole, weight: gated.weight }, gated.magnitude);
  }
  const isKept = (_: number, i: number) => i % width >= columns.start && i % width < columns.end;
  return { value: truth.value.filter(isKept), magnitude: truth.magnitude.filter(isKept) };
}

function withLast(values: Uint32Array, last: number): Uint32Array {
  const changed = values.slice();
  changed[changed.length - 1] = last;
  return changed;
}
