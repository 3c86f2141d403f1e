import { type ConformanceCase, expectAssertion, expectFailure, expectSame } from './checks.ts';
import { TABLE_DTYPES } from './inputs.ts';
import { BASE, PRE_WIDTH, poolInputs } from './pool-inputs.ts';

export function poolRuleCases(): ConformanceCase[] {
  return [
    {
      name: 'pool: a slice of columns has the bits of the whole table',
      run: async (kernels) => {
        for (const dtype of TABLE_DTYPES) {
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
          const [from, to] = [request.entryStart[t], request.entryStart[t + 1]];
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
  ];
}

export function poolRefusalCases(): ConformanceCase[] {
  return [
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
        for (const entryStart of [
          [1, 5, 5, 6, 18, 21],
          [0, 6, 5, 6, 18, 21],
        ])
          await expectAssertion(() =>
            kernels.pool(whole, { ...request, entryStart: Uint32Array.from(entryStart) }),
          );
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

function withLast(values: Uint32Array, last: number): Uint32Array {
  const changed = values.slice();
  changed[changed.length - 1] = last;
  return changed;
}
