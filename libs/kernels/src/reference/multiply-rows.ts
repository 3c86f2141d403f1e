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

/** One dot product per row, rounded to f32 once; results depend neither on the batch nor on where a row range begins. */
export function multiplyRows(product: RowProduct): void {
  const { weight, columns, firstRow, rowCount, x, xAt, bias, into, intoAt } = product;
  for (let row = 0; row < rowCount; row++)
    into[intoAt + row] =
      dot(weight, (firstRow + row) * columns, x, xAt, columns) + (bias === null ? 0 : bias[row]);
}

/** Columns that differ by a multiple of this are summed together: eight f64 fill a vector register. */
const LANES = 8;

/**
 * Dot product of `a[aAt ..]` and `b[bAt ..]` in f64, in the order that the whole project uses: column c is added to sum
 * c mod 8, and the eight sums are halved three times. A product of two f32 is exact in f64, with fused multiply-add too, so
 * every implementation of this order gives the same bits.
 */
export function dot(a: Float32Array, aAt: number, b: Float32Array, bAt: number, width: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let s4 = 0;
  let s5 = 0;
  let s6 = 0;
  let s7 = 0;
  const whole = width - (width % LANES);
  for (let c = 0; c < whole; c += LANES) {
    s0 += a[aAt + c] * b[bAt + c];
    s1 += a[aAt + c + 1] * b[bAt + c + 1];
    s2 += a[aAt + c + 2] * b[bAt + c + 2];
    s3 += a[aAt + c + 3] * b[bAt + c + 3];
    s4 += a[aAt + c + 4] * b[bAt + c + 4];
    s5 += a[aAt + c + 5] * b[bAt + c + 5];
    s6 += a[aAt + c + 6] * b[bAt + c + 6];
    s7 += a[aAt + c + 7] * b[bAt + c + 7];
  }
  const product = (lane: number): number =>
    whole + lane < width ? a[aAt + whole + lane] * b[bAt + whole + lane] : 0;
  if (whole < width) {
    s0 += product(0);
    s1 += product(1);
    s2 += product(2);
    s3 += product(3);
    s4 += product(4);
    s5 += product(5);
    s6 += product(6);
  }
  return s0 + s4 + (s2 + s6) + (s1 + s5 + (s3 + s7));
}
