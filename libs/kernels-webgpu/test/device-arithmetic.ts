/** Numbers of both signs, the same for the same seed. */
export function numbers(seed: number, length: number, scale: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return scale * (state / 2 ** 31 - 1);
  });
}

const bits = new DataView(new ArrayBuffer(4));

/** To f32 as a device might: to the nearest, or any other way; denormals flushed. */
export function rounded(x: number, towardsZero: boolean): number {
  const nearest = Math.fround(x);
  if (Math.abs(nearest) < 2 ** -126) return 0;
  if (!towardsZero || Math.abs(nearest) <= Math.abs(x)) return nearest;
  bits.setFloat32(0, nearest);
  bits.setUint32(0, bits.getUint32(0) - 1);
  return bits.getFloat32(0);
}
