import { rangeLength } from '@ultramem/ultramem';
import { assertPartials, type PooledPart, type PooledSize } from '../pooled-part.ts';

/** Partials that are added in one pass over the sums: halves and quarters of the memory traffic are what counts here. */
const LANES = 4;

/** `Kernels.mergePartials`. One row range keeps every bit of one process, and several give the same bits in every run. */
export function mergePartials(parts: readonly PooledPart[], size: PooledSize): Float32Array {
  assertPartials(parts, size);
  const pooled = new Float32Array(size.tokenCount * size.blockCount * size.width);
  const byColumns = new Map<number, PooledPart[]>();
  for (const part of parts) {
    if (rangeLength(part.columns) === 0) continue;
    const sameColumns = byColumns.get(part.columns.start);
    if (sameColumns === undefined) byColumns.set(part.columns.start, [part]);
    else sameColumns.push(part);
  }
  for (const rowParts of byColumns.values())
    if (rowParts.length === 1) place(rowParts[0], pooled, size);
    else add(rowParts, pooled, size);
  return pooled;
}

function place(
  { token, columns, pooled }: PooledPart,
  into: Float32Array,
  { blockCount, width }: PooledSize,
): void {
  const partWidth = rangeLength(columns);
  for (let i = 0; i < token.length; i++)
    for (let block = 0; block < blockCount; block++) {
      const from = (i * blockCount + block) * partWidth;
      into.set(
        pooled.subarray(from, from + partWidth),
        (token[i] * blockCount + block) * width + columns.start,
      );
    }
}

/** @param parts of the same columns, in row order */
function add(
  parts: readonly PooledPart[],
  into: Float32Array,
  { tokenCount, blockCount, width }: PooledSize,
): void {
  const { columns } = parts[0];
  const partWidth = rangeLength(columns);
  // -0 is what changes no number when added, not even another -0.
  const absent = new Float32Array(partWidth).fill(-0);
  const sum = new Float64Array(partWidth).fill(-0);
  const lanes = Math.ceil(parts.length / LANES) * LANES;
  const source: Float32Array[] = Array.from({ length: lanes }, () => absent);
  const next = new Uint32Array(parts.length); // of each part's tokens
  for (let t = 0; t < tokenCount; t++) {
    for (let p = 0; p < parts.length; p++)
      source[p] = parts[p].token[next[p]] === t ? parts[p].pooled : absent;
    for (let block = 0; block < blockCount; block++) {
      const at = (p: number): number =>
        source[p] === absent ? 0 : (next[p] * blockCount + block) * partWidth;
      let p = 0;
      for (; p < lanes - LANES; p += LANES) addRows(sum, source, p, at);
      roundRows(into, (t * blockCount + block) * width + columns.start, sum, source, p, at);
      if (p > 0) sum.fill(-0);
    }
    for (let p = 0; p < parts.length; p++) if (source[p] !== absent) next[p]++;
  }
}

/** Adds four rows, one after the other. */
function addRows(
  sum: Float64Array,
  source: readonly Float32Array[],
  lane: number,
  at: (part: number) => number,
): void {
  const [a, b, c, d] = [source[lane], source[lane + 1], source[lane + 2], source[lane + 3]];
  const [atA, atB, atC, atD] = [at(lane), at(lane + 1), at(lane + 2), at(lane + 3)];
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i] + a[atA + i] + b[atB + i] + c[atC + i] + d[atD + i];
}

/** The same for the last four: the sum is not needed again, only its f32. */
function roundRows(
  into: Float32Array,
  start: number,
  sum: Float64Array,
  source: readonly Float32Array[],
  lane: number,
  at: (part: number) => number,
): void {
  const [a, b, c, d] = [source[lane], source[lane + 1], source[lane + 2], source[lane + 3]];
  const [atA, atB, atC, atD] = [at(lane), at(lane + 1), at(lane + 2), at(lane + 3)];
  for (let i = 0; i < sum.length; i++)
    into[start + i] = sum[i] + a[atA + i] + b[atB + i] + c[atC + i] + d[atD + i];
}
