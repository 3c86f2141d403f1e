import type { DotRequest } from '../pooling.ts';
import { type ConformanceCase, expectAssertion, expectClose, expectFailure, expectSame } from './checks.ts';
import { inside, normals, TABLE_DTYPES, wholesInside } from './inputs.ts';
import { naiveDots } from './naive-pool.ts';
import { BASE, poolInputs } from './pool-inputs.ts';

export function dotCases(): ConformanceCase[] {
  return [
    ...TABLE_DTYPES.map(
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
          for (let i = 0; i < sums.length; i++) sums[i] += dots[i];
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
