/** Cosines and sines of every position and frequency (SEMANTICS 2.2 step 4). */
export interface RopeTable {
  readonly cos: Float32Array; // [positions, headWidth / 2]
  readonly sin: Float32Array; // the same shape
}

export function createRopeTable(positionCount: number, headWidth: number, theta: number): RopeTable {
  const half = headWidth / 2;
  const cos = new Float32Array(positionCount * half);
  const sin = new Float32Array(positionCount * half);
  for (let j = 0; j < half; j++) {
    const frequency = theta ** ((-2 * j) / headWidth);
    for (let position = 0; position < positionCount; position++) {
      cos[position * half + j] = Math.cos(position * frequency);
      sin[position * half + j] = Math.sin(position * frequency);
    }
  }
  return { cos, sin };
}

/**
 * Rotates one token's heads in place, half-split pairing: feature j goes with feature j + headWidth / 2.
 *
 * @param x from `at` on: `[headCount, headWidth]`
 */
export function rotate(
  table: RopeTable,
  x: Float32Array,
  at: number,
  position: number,
  headCount: number,
  headWidth: number,
): void {
  const half = headWidth / 2;
  for (let head = at; head < at + headCount * headWidth; head += headWidth)
    for (let j = 0; j < half; j++) {
      const cos = table.cos[position * half + j];
      const sin = table.sin[position * half + j];
      const a = x[head + j];
      const b = x[head + half + j];
      x[head + j] = a * cos - b * sin;
      x[head + half + j] = b * cos + a * sin;
    }
}
