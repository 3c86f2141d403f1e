/** Numbers that are the same for the same seed. */
export interface Numbers {
  /** Whole, 0 .. limit - 1. */
  below(limit: number): number;
  /** Roughly normal: a sum of twelve uniform ones. */
  normal(): number;
  normals(length: number, scale?: number): Float32Array;
}

/** A linear congruential generator modulo 2^32, of which the upper bits are used (Numerical Recipes, section 7.1). */
export function numbers(seed: number): Numbers {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) / 2 ** 24;
  };
  const normal = (): number => {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += uniform();
    return sum;
  };
  return {
    below: (limit) => Math.floor(uniform() * limit),
    normal,
    normals: (length, scale = 1) => Float32Array.from({ length }, () => scale * normal()),
  };
}
