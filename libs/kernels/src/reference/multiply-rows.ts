/** Rows `firstRow .. firstRow + rowCount - 1` of `weight [.., columns]` times one vector of `x`, into `into[intoAt ..]`. */
export interface RowProduct {
  weight: Float32Array;
  columns: number;
  firstRow: number;
  rowCount: number;
  x: Float32Array;
  xAt: number;
  /** Added to each sum before it is rounded; entry 0 belongs to `firstRow`. */
  bias: Float32Array | null;
  into: Float32Array;
  intoAt: number;
}

/**
 * One dot product per row in f64, rounded to f32 once. Every product is summed in the same order, even columns apart
 * from odd ones, whichever path computes it: results depend neither on the batch nor on where a row range begins.
 * Four rows at a time, because eight independent sums hide the latency of an addition.
 */
export function multiplyRows(product: RowProduct): void {
  const { weight, columns, firstRow, rowCount, x, xAt, bias, into, intoAt } = product;
  const even = columns - (columns % 2);
  const fours = rowCount - (rowCount % 4);
  for (let row = 0; row < fours; row += 4) {
    const at0 = (firstRow + row) * columns;
    const at1 = at0 + columns;
    const at2 = at1 + columns;
    const at3 = at2 + columns;
    let a0 = 0;
    let a1 = 0;
    let a2 = 0;
    let a3 = 0;
    let b0 = 0;
    let b1 = 0;
    let b2 = 0;
    let b3 = 0;
    for (let c = 0; c < even; c += 2) {
      const u = x[xAt + c];
      const v = x[xAt + c + 1];
      a0 += weight[at0 + c] * u;
      b0 += weight[at0 + c + 1] * v;
      a1 += weight[at1 + c] * u;
      b1 += weight[at1 + c + 1] * v;
      a2 += weight[at2 + c] * u;
      b2 += weight[at2 + c + 1] * v;
      a3 += weight[at3 + c] * u;
      b3 += weight[at3 + c + 1] * v;
    }
    if (even < columns) {
      const u = x[xAt + even];
      a0 += weight[at0 + even] * u;
      a1 += weight[at1 + even] * u;
      a2 += weight[at2 + even] * u;
      a3 += weight[at3 + even] * u;
    }
    const at = intoAt + row;
    into[at] = a0 + b0 + (bias === null ? 0 : bias[row]);
    into[at + 1] = a1 + b1 + (bias === null ? 0 : bias[row + 1]);
    into[at + 2] = a2 + b2 + (bias === null ? 0 : bias[row + 2]);
    into[at + 3] = a3 + b3 + (bias === null ? 0 : bias[row + 3]);
  }
  for (let row = fours; row < rowCount; row++)
    into[intoAt + row] =
      dot(weight, (firstRow + row) * columns, x, xAt, columns) + (bias === null ? 0 : bias[row]);
}

/** Dot product of `a[aAt ..]` and `b[bAt ..]` in f64, in the order that `multiplyRows` uses. */
export function dot(a: Float32Array, aAt: number, b: Float32Array, bAt: number, width: number): number {
  const even = width - (width % 2);
  let sum0 = 0;
  let sum1 = 0;
  for (let i = 0; i < even; i += 2) {
    sum0 += a[aAt + i] * b[bAt + i];
    sum1 += a[aAt + i + 1] * b[bAt + i + 1];
  }
  if (even < width) sum0 += a[aAt + even] * b[bAt + even];
  return sum0 + sum1;
}
