/** A seeded stream of numbers (xoshiro128**, Blackman and Vigna 2018): the same seed gives the same run on every machine. */
export interface Random {
  /** Uniform in 0 .. 2^32 - 1. */
  uint32(): number;
  /** Uniform in [0, 1), a multiple of 2^-53. */
  unit(): number;
  /** Standard normal (Box-Muller). */
  normal(): number;
}

export function createRandom(seed: number): Random {
  const state = new Uint32Array(4);
  let s = seed >>> 0 || 0x9e3779b9;
  if (seed > 0xffffffff) s ^= Math.floor(seed / 2 ** 32);
  for (let i = 0; i < 4; i++) {
    // splitmix32 spreads neighbouring seeds over the whole state.
    s = (s + 0x9e3779b9) >>> 0;
    let z = s;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    state[i] = z ^ (z >>> 16);
  }
  const uint32 = (): number => {
    const result = Math.imul(rotateLeft(Math.imul(state[1], 5), 7), 9) >>> 0;
    const t = state[1] << 9;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= t;
    state[3] = rotateLeft(state[3], 11);
    return result;
  };
  const unit = (): number => ((uint32() >>> 5) * 2 ** 26 + (uint32() >>> 6)) / 2 ** 53;
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - unit())) * Math.cos(2 * Math.PI * unit());
  return { uint32, unit, normal };
}

function rotateLeft(x: number, bits: number): number {
  return ((x << bits) | (x >>> (32 - bits))) >>> 0;
}
