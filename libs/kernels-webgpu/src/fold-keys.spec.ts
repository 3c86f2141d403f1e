import { dot, loadReferenceKeys, memoryTensor, type ReferenceKeys } from '@ultramem/kernels';
import { type CollapseVectors, collapseScore } from '@ultramem/ultramem';
import { expect, it } from 'vitest';
import { numbers, rounded } from '../test/device-arithmetic.ts';
import { exponentOf, foldKeys, largestMagnitude, scoreErrorMax, vectorOfList } from './fold-keys.ts';

const [KEYS, WIDTH, RANK] = [40, 33, 3];

async function folding(keyScale: number, collapseScale: number) {
  const values = numbers(1, 2 * KEYS * WIDTH * RANK, keyScale);
  const source = memoryTensor('keys', 'F32', [1, 2, KEYS, WIDTH, RANK], values);
  const keys = await loadReferenceKeys(source, { start: 0, end: KEYS }, null);
  const collapse = { row: numbers(2, RANK, collapseScale), column: numbers(3, RANK, collapseScale) };
  return { keys, collapse, folded: foldKeys(keys, collapse) };
}

function exactScore(
  keys: ReferenceKeys,
  collapse: CollapseVectors,
  list: number,
  key: number,
  query: Float32Array,
) {
  const refined = Float32Array.from({ length: RANK }, (_, r) =>
    dot(keys.elements, ((list * KEYS + key) * RANK + r) * WIDTH, query, 0, WIDTH),
  );
  return collapseScore(refined, 0, vectorOfList(collapse, list, RANK), 0, RANK);
}

/** As a device might: one product after the other. */
function deviceScore(a: Float32Array, at: number, b: Float32Array, towardsZero: boolean): number {
  let sum = 0;
  for (let c = 0; c < b.length; c++) sum = rounded(sum + rounded(a[at + c] * b[c], towardsZero), towardsZero);
  return sum;
}

it.each([
  [1, 1, 1],
  [1e-38, 1, 1],
  [1, 1e-38, 1],
  [1, 1e-40, 1],
  [1e30, 1, 1],
  [1, 1e30, 1e-30],
  [1e-30, 1e-30, 1e30],
])(
  'the bound holds for queries of %d, keys of %d and u of %d',
  async (queryScale, keyScale, collapseScale) => {
    const { keys, collapse, folded } = await folding(keyScale, collapseScale);
    for (let seed = 10; seed < 30; seed++) {
      const query = numbers(seed, WIDTH, queryScale);
      const exponent = exponentOf(largestMagnitude(query));
      const scaled = query.map((x) => x * 2 ** -exponent);
      const norm = Math.hypot(...query);
      for (const list of [0, 1]) {
        const errorMax = scoreErrorMax(folded, list, { norm, exponent }, WIDTH);
        let worst = 0;
        for (let key = 0; key < KEYS; key++) {
          const exact =
            exactScore(keys, collapse, list, key, query) * 2 ** -(exponent + folded.exponent[list]);
          for (const towardsZero of [false, true]) {
            const device = deviceScore(folded.vectors, (list * KEYS + key) * WIDTH, scaled, towardsZero);
            worst = Math.max(worst, Math.abs(exact - device));
          }
        }
        expect(worst).toBeLessThanOrEqual(errorMax);
        expect(errorMax).toBeLessThan(keyScale * queryScale < 1e-37 ? Number.POSITIVE_INFINITY : 1e-2);
      }
    }
  },
);

it('there is no bound where refined scores could overflow, or are not numbers', async () => {
  const { folded } = await folding(1e20, 1);
  expect(scoreErrorMax(folded, 0, { norm: 1e20, exponent: 66 }, WIDTH)).toBe(Number.POSITIVE_INFINITY);
  expect(scoreErrorMax(folded, 0, { norm: Number.NaN, exponent: 0 }, WIDTH)).toBe(Number.POSITIVE_INFINITY);
});

it('scales each list by a power of two', async () => {
  const { folded } = await folding(1e-40, 1);
  for (const list of [0, 1]) {
    const vectors = folded.vectors.subarray(list * KEYS * WIDTH, (list + 1) * KEYS * WIDTH);
    expect(largestMagnitude(vectors)).toBeGreaterThanOrEqual(0.5);
    expect(largestMagnitude(vectors)).toBeLessThanOrEqual(4);
  }
});
