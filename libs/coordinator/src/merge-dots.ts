/** Complete pre-scores from partial dot products over column ranges: added in column order, in f64. */
export function mergeDots(parts: readonly Float64Array[]): Float64Array {
  const sum = Float64Array.from(parts[0]);
  for (const part of parts.slice(1)) for (let i = 0; i < sum.length; i++) sum[i] += part[i];
  return sum;
}
