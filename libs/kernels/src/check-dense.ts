import { assert } from '@ultramem/invariant';
import type { AttendRequest, FeedForward, RopeTable } from './dense.ts';
import type { Matrix } from './kernels.ts';

// As check-requests.ts, for products, rotations and attention.

export function assertProduct(
  { rows, columns }: Pick<Matrix, 'rows' | 'columns'>,
  x: Float32Array,
  rowCount: number,
  bias: Float32Array | null,
): void {
  assert(x.length === rowCount * columns, 'x has one row of the weight columns per batch row');
  assert(bias === null || bias.length === rows, 'a bias has one entry per weight row');
}

export function assertFeedForward(
  { inner, activation, outer }: FeedForward,
  x: Float32Array,
  rowCount: number,
): void {
  assertProduct(inner.weight, x, rowCount, inner.bias);
  assert(
    outer.bias === null || outer.bias.length === outer.weight.rows,
    'a bias has one entry per weight row',
  );
  assert(
    inner.weight.rows === outer.weight.columns * (activation === 'swiglu' ? 2 : 1),
    'the second weight has a column for each number that the non-linearity leaves',
  );
}

export function assertRotation(
  { headWidth, cos, sin }: RopeTable,
  x: Float32Array,
  positions: Uint32Array,
): void {
  assert(
    x.length % (positions.length * headWidth || 1) === 0,
    'x has a row of whole heads for each position',
  );
  assert(positions.length > 0 || x.length === 0, 'every row has a position');
  assert(
    cos.length === sin.length && cos.length % (headWidth / 2) === 0,
    'the table is [positions, headWidth / 2]',
  );
  for (const position of positions)
    assert((position + 1) * (headWidth / 2) <= cos.length, 'the table holds every position');
}

export function assertAttend(request: AttendRequest): void {
  const { query, sequences, headCount, kvHeadCount, headWidth, alibiSlopes } = request;
  let queryCount = 0;
  for (const { keys, values, keyCount, ...sequence } of sequences) {
    const cached = keyCount * kvHeadCount * headWidth;
    assert(keys.length >= cached, 'the cache holds the keys of every position');
    assert(values.length >= cached, 'the cache holds the values of every position');
    assert(sequence.queryCount <= keyCount, 'the new tokens are in the cache');
    queryCount += sequence.queryCount;
  }
  assert(
    query.length === queryCount * headCount * headWidth,
    'the query is [queries of all sequences, headCount, headWidth]',
  );
  assert(headCount % kvHeadCount === 0, 'query heads share key heads in equal groups');
  assert(alibiSlopes === null || alibiSlopes.length === headCount, 'alibi has one slope per head');
}
