import type { PoolRequest } from '../pooling.ts';
import { type ConformanceCase, expectClose, type Truth } from './checks.ts';
import { bytesInside, inside, TABLE_DTYPES, wholesInside } from './inputs.ts';
import { naiveDots, naiveGate, naivePool } from './naive-pool.ts';
import { BASE, type PoolSetup, PRE_WIDTH, poolInputs } from './pool-inputs.ts';

/** Three whole blocks of columns and a short one. */
const WIDE_INT8: PoolSetup = {
  ...{ ...BASE, dtype: 'INT8_BLOCK64', width: 200, columns: { start: 0, end: 200 } },
};

const SETUPS: PoolSetup[] = [
  ...TABLE_DTYPES.map((dtype): PoolSetup => ({ ...BASE, what: `a ${dtype} table`, dtype })),
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
  ...TABLE_DTYPES.map(
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
  { ...WIDE_INT8, what: 'INT8_BLOCK64, several blocks and a short one' },
  { ...WIDE_INT8, what: 'INT8_BLOCK64, columns cut inside blocks', columns: { start: 37, end: 171 } },
  { ...WIDE_INT8, what: 'INT8_BLOCK64, columns inside one block', columns: { start: 70, end: 81 } },
  { ...WIDE_INT8, what: 'INT8_BLOCK64, cores across blocks', coreCount: 5, rows: { start: 9, end: 31 } },
  { ...WIDE_INT8, what: 'INT8_BLOCK64, gated', pre: 'gelu' },
  { ...WIDE_INT8, what: 'INT8_BLOCK64, huge values', tableScale: 1e37, weightScale: 1e-2 },
  { ...WIDE_INT8, what: 'INT8_BLOCK64, tiny values', tableScale: 1e-36, weightScale: 1e37 },
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
